// How the sinks are doing: one line.

const SINKS_INTERVAL_MS = 10_000;

function sinksText(sinks) {
  const failing = sinks.filter((sink) => sink.failing_since);
  const waiting = Math.max(...sinks.map((sink) => sink.waiting));
  if (!failing.length) return waiting > 100 ? `Messages: ${waiting} wait to be sent` : "Messages: all sent";
  return failing
    .map(({ name, waiting, last_error, failing_since }) => {
      const since = new Date(failing_since).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      const later = waiting ? `; ${counted(waiting, "message")} will be sent once it works` : "";
      return `${name}: ${last_error}, since ${since}${later}`;
    })
    .join(" · ");
}

async function showSinks() {
  $("sinks").hidden = false;
  try {
    $("sinks").textContent = sinksText(await callApi("/v1/sinks"));
  } catch (error) {
    $("sinks").textContent = error.message;
  }
}

/** Show the line, and keep it current while the page is visible. */
function followSinks() {
  showSinks();
  setInterval(() => document.hidden || showSinks(), SINKS_INTERVAL_MS);
}
