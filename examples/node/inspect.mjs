// Inspect PNG images with an exported detector and print one line per image, as `ssim-ae predict` does.
//
//     npm install --ignore-scripts    (the scripts would download libraries for GPUs)
//     node inspect.mjs detector.onnx image.png [more.png]
//
// The exit status is 2 if an image could not be inspected.
import { readFileSync } from 'node:fs'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { PNG } from 'pngjs'

function readImage(path) {
  const bytes = readFileSync(path)
  try {
    return PNG.sync.read(bytes) // always 8-bit RGBA; the graph ignores alpha
  } catch {
    throw new Error('not a PNG, or corrupt')
  }
}

function reportError(path, error) {
  console.error(`error  ${path}: ${error.message.split('\n')[0]}`)
  process.exitCode = 2
}

const [detector, ...paths] = process.argv.slice(2)
if (paths.length === 0) {
  console.error('usage: node inspect.mjs detector.onnx image.png [more.png]')
  process.exit(2)
}

// Log errors only: ONNX Runtime warns that the input `thresholds` has a default value, which is intended.
const session = await InferenceSession.create(detector, { logSeverityLevel: 3 }).catch((error) => reportError(detector, error))

for (const path of session ? paths : []) {
  try {
    const { width, height, data } = readImage(path)
    const image = new Tensor('uint8', data, [height, width, 4])
    const { score, verdict } = await session.run({ image }, ['score', 'verdict'])
    const label = verdict.data[0] ? 'nok' : 'ok'
    console.log(`${label.padEnd(5)}  ${score.data[0].toFixed(4).padStart(8)}  ${path}`)
  } catch (error) {
    reportError(path, error)
  }
}
