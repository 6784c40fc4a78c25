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

/** Return whether browsers draw a file differently: 16 bits, transparency, and orientation by EXIF outside of JPEG. */
async function differsInBrowser(file) {
  const bytes = new Uint8Array(await file.slice(0, HEADER_BYTES).arrayBuffer().catch(() => new ArrayBuffer(0)));
  const header = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  if (header.startsWith("\x89PNG")) {
    const [bitDepth, colorType] = bytes.slice(24, 26);
    return bitDepth === 16 || (colorType & 4) !== 0 || header.includes("tRNS") || header.includes("eXIf");
  }
  const kind = header.startsWith("RIFF") ? header.slice(12, 16) : "";
  if (kind === "VP8X") return (bytes[20] & 0x18) !== 0; // alpha, EXIF
  return kind === "VP8L" && (bytes[24] & 0x10) !== 0; // alpha
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
