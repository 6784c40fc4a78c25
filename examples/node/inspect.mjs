// Inspect PNG images with an exported detector: a line each, as `ssim-ae predict` prints.
//
//     npm install --ignore-scripts    (the script left out downloads what only GPUs need)
//     node inspect.mjs detector.onnx image.png [more.png]
//
// Exit status 2 if something could not be inspected.
import { readFileSync } from 'node:fs'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { PNG } from 'pngjs'

function read(path) {
  const bytes = readFileSync(path)
  try {
    return PNG.sync.read(bytes) // RGBA of 8 bits, whatever the file has; the graph drops alpha
  } catch {
    throw new Error('not a PNG, or damaged')
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

// Errors only: ONNX Runtime would warn that the input `thresholds` has a default, as it is meant to have.
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
