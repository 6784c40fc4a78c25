// Requests of a page to the API of its server.

async function fetchApi(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { ...options, headers }).catch(() => {
    throw new Error("server: not reachable; check that it is running");
  });
  if (response.status === 401) $("token-form").hidden = false;
  if (response.ok) return response;
  const content = await response.json().catch(() => ({ detail: `server: status ${response.status}` }));
  throw Object.assign(new Error(content.detail), { status: response.status });
}

/** Send a request to the API and return the JSON of its response. An error has a message of one line. */
async function callApi(path, options = {}) {
  return (await fetchApi(path, options)).json();
}

/** Return the URL of an image that the API returns. */
async function imageUrl(path) {
  return URL.createObjectURL(await (await fetchApi(path)).blob());
}

/** Call `start` once the user has entered a token. */
function listenForToken(start) {
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", $("token").value);
    start();
  });
}
