// Inspect PNG images with an exported detector and print one line per image, as `ssim-ae predict` does.
//
//     npm install --ignore-scripts    (the scripts download libraries for GPUs)
//     node inspect.mjs detector.onnx image.png [more.png]
//
// The exit status is 2 if an image could not be inspected.
import { readFileSync } from 'node:fs'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { PNG } from 'pngjs'

function read(path) {
  const bytes = readFileSync(path)
  try {
    return PNG.sync.read(bytes) // 8-bit RGBA for every PNG; the graph drops alpha
  } catch {
    throw new Error('not a PNG, or corrupt')
  }
}

function failed(path, error) {
  console.error(`error  ${path}: ${error.message.split('\n')[0]}`)
  process.exitCode = 2
}

const [detector, ...paths] = process.argv.slice(2)
if (paths.length === 0) {
  console.error('usage: node inspect.mjs detector.onnx image.png [more.png]')
  process.exit(2)
}

// Log errors only: ONNX Runtime warns that the input `thresholds` has a default value, which is intended.
const session = await InferenceSession.create(detector, { logSeverityLevel: 3 }).catch((error) => failed(detector, error))

for (const path of session ? paths : []) {
  try {
    const { width, height, data } = read(path)
    const image = new Tensor('uint8', data, [height, width, 4])
    const { score, verdict } = await session.run({ image }, ['score', 'verdict'])
    const word = verdict.data[0] ? 'nok' : 'ok'
    console.log(`${word.padEnd(5)}  ${score.data[0].toFixed(4).padStart(8)}  ${path}`)
  } catch (error) {
    failed(path, error)
  }
}
