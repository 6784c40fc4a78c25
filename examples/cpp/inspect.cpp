// Inspect images with an exported detector and print one line per image, as `ssim-ae predict` does.
//
//     cmake -S . -B build -DOpenVINO_DIR="$(python -c 'import openvino; print(openvino.__path__[0])')/cmake"
//     cmake --build build
//     build/inspect detector.xml image.ppm [more.ppm]
//
// Images are binary PPM (RGB) or PGM (gray) files, which can be read without a library. A camera's SDK returns the same bytes.
// The exit status is 2 if an image could not be inspected.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <openvino/openvino.hpp>

ov::Tensor read_image(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot be opened");
    std::string magic_number;
    size_t width = 0, height = 0, max_value = 0;
    file >> magic_number >> width >> height >> max_value;
    if (!file.get() || (magic_number != "P6" && magic_number != "P5") || max_value != 255 || width * height == 0)
        throw std::runtime_error("not a binary PPM or PGM of 8 bits without comments");
    if (std::max(width, height) > 16384) throw std::runtime_error("larger than 16384 px");  // or a corrupt header
    ov::Tensor image(ov::element::u8, {height, width, magic_number == "P6" ? 3u : 1u});
    if (!file.read(static_cast<char*>(image.data()), image.get_byte_size())) throw std::runtime_error("truncated");
    return image;
}

int report_error(const std::string& path, const std::exception& error) {
    std::string text = error.what();  // OpenVINO: first the location in its source, in the last line the reason
    text.erase(text.find_last_not_of('\n') + 1);
    std::fprintf(stderr, "error  %s: %s\n", path.c_str(), text.substr(text.rfind('\n') + 1).c_str());
    return 2;
}

int main(int count, char** arguments) {
    if (count < 3) return std::fprintf(stderr, "usage: inspect detector.xml image.ppm [more.ppm]\n"), 2;
    ov::InferRequest request;
    try {
        // By default OpenVINO computes in bfloat16 on CPUs that support it, which changes the scores.
        const auto precision = ov::hint::inference_precision(ov::element::f32);
        request = ov::Core().compile_model(arguments[1], "CPU", precision).create_infer_request();
    } catch (const std::exception& error) {
        return report_error(arguments[1], error);
    }
    int status = 0;
    for (const std::string& path : std::vector<std::string>(arguments + 2, arguments + count)) {
        try {
            request.set_tensor("image", read_image(path));
            request.infer();
            const bool nok = *request.get_tensor("verdict").data<bool>();
            const float score = *request.get_tensor("score").data<float>();
            std::printf("%-5s  %8.4f  %s\n", nok ? "nok" : "ok", score, path.c_str());
        } catch (const std::exception& error) {
            status = report_error(path, error);
        }
    }
    return status;
}
