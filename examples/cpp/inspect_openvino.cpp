// Inspect images with an exported detector in OpenVINO, which reads detector.xml and detector.onnx.
//
//     cmake -S . -B build -DOpenVINO_DIR="$(python -c 'import openvino; print(openvino.__path__[0])')/cmake"
//     cmake --build build
//     build/inspect_openvino detector.xml image.ppm [more.ppm]
#include <openvino/openvino.hpp>

#include "program.h"

Inspect open(const std::string& detector) {
    // By default OpenVINO computes in bfloat16 on CPUs that support it, which changes the scores.
    const auto precision = ov::hint::inference_precision(ov::element::f32);
    ov::InferRequest request = ov::Core().compile_model(detector, "CPU", precision).create_infer_request();
    return [request](Image& image) mutable {
        const ov::Shape shape{image.height, image.width, image.channels};
        request.set_tensor("image", ov::Tensor(ov::element::u8, shape, image.pixels.data()));
        request.infer();
        return Result{*request.get_tensor("score").data<float>(), *request.get_tensor("verdict").data<bool>()};
    };
}

int main(int count, char** arguments) { return inspect_all(count, arguments, open); }
