// The original of an inspected image: the picked file where the browser shows it as the detector reads it, else the
// server's picture. Both at the size of the image.

const HEADER_BYTES = 65_536;

/** Return the URL of a file if the browser can show it like the detector reads it, else null. */
async function fileUrl(file, { width, height }) {
  if (await differsInBrowser(file)) return null;
  const url = URL.createObjectURL(file);
  const picture = make("img", { src: url });
  const isShown = await picture.decode().then(() => picture.naturalWidth === width && picture.naturalHeight === height, () => false);
  if (isShown) return url;
  URL.revokeObjectURL(url);
  return null;
}

/** Return whether browsers draw a file in other brightness (16 bits) or orientation (EXIF outside of JPEG). */
async function differsInBrowser(file) {
  const bytes = new Uint8Array(await file.slice(0, HEADER_BYTES).arrayBuffer().catch(() => new ArrayBuffer(0)));
  const header = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  if (header.startsWith("\x89PNG")) return bytes[24] === 16 || header.includes("eXIf");
  if (header.startsWith("RIFF")) return header.slice(12, 16) === "VP8X" && (bytes[20] & 8) !== 0;
  return false;
}

/** Return the URL of the picture `image` of a response, or null if the request fails. */
async function serverUrl(request) {
  try {
    const { pictures } = await retryWhileBusy(request);
    const bytes = Uint8Array.from(atob(pictures.image), (letter) => letter.charCodeAt(0));
    return URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  } catch {
    return null;
  }
}
