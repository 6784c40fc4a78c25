// Inspect images with an exported detector in ONNX Runtime, which reads detector.onnx.
//
//     cmake -S . -B build -DONNXRUNTIME_DIR=onnxruntime-linux-x64-1.22.0    # an unpacked release of ONNX Runtime
//     cmake --build build
//     build/inspect_onnxruntime detector.onnx image.ppm [more.ppm]
#include <onnxruntime_cxx_api.h>

#include <array>
#include <filesystem>
#include <memory>

#include "program.h"

Inspect open(const std::string& detector) {
    // Log errors only: ONNX Runtime warns that the input `thresholds` has a default value, which is intended.
    static Ort::Env environment(ORT_LOGGING_LEVEL_ERROR);
    const auto path = std::filesystem::path(detector);
    const auto session = std::make_shared<Ort::Session>(environment, path.c_str(), Ort::SessionOptions());
    return [session](Image& image) {
        const std::array<int64_t, 3> shape{int64_t(image.height), int64_t(image.width), int64_t(image.channels)};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
        auto& pixels = image.pixels;
        const auto input = Ort::Value::CreateTensor<uint8_t>(memory, pixels.data(), pixels.size(), shape.data(), 3);
        const char* inputs[] = {"image"};
        const char* outputs[] = {"score", "verdict"};
        const auto results = session->Run(Ort::RunOptions(), inputs, &input, 1, outputs, 2);
        return Result{*results[0].GetTensorData<float>(), *results[1].GetTensorData<bool>()};
    };
}

int main(int count, char** arguments) { return inspect_all(count, arguments, open); }
