// What both programs share: they read images and print one line per image, as `ssim-ae predict` does.
//
// Images are binary PPM (RGB) or PGM (gray) files, which can be read without a library. A camera's SDK returns the same bytes.
// The exit status is 2 if an image could not be inspected.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

struct Image {
    size_t height, width, channels;
    std::vector<uint8_t> pixels;  // height x width x channels
};

struct Result {
    float score;
    bool nok;
};

using Inspect = std::function<Result(Image&)>;

inline Image read_image(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot be opened");
    std::string magic_number;
    size_t width = 0, height = 0, max_value = 0;
    file >> magic_number >> width >> height >> max_value;
    if (!file.get() || (magic_number != "P6" && magic_number != "P5") || max_value != 255 || width * height == 0)
        throw std::runtime_error("not a binary PPM or PGM of 8 bits without comments");
    if (std::max(width, height) > 16384) throw std::runtime_error("larger than 16384 px");  // or a corrupt header
    const size_t channels = magic_number == "P6" ? 3 : 1;
    Image image{height, width, channels, std::vector<uint8_t>(height * width * channels)};
    if (!file.read(reinterpret_cast<char*>(image.pixels.data()), image.pixels.size())) throw std::runtime_error("truncated");
    return image;
}

inline int report_error(const std::string& path, const std::exception& error) {
    std::string text = error.what();  // OpenVINO: first the location in its source, in the last line the reason
    text.erase(text.find_last_not_of('\n') + 1);
    std::fprintf(stderr, "error  %s: %s\n", path.c_str(), text.substr(text.rfind('\n') + 1).c_str());
    return 2;
}

// Inspect the images of a command line with what `open` returns for the detector that it names first.
inline int inspect_all(int count, char** arguments, Inspect open(const std::string& detector)) {
    if (count < 3) return std::fprintf(stderr, "usage: %s DETECTOR image.ppm [more.ppm]\n", arguments[0]), 2;
    Inspect inspect;
    try {
        inspect = open(arguments[1]);
    } catch (const std::exception& error) {
        return report_error(arguments[1], error);
    }
    int status = 0;
    for (const std::string& path : std::vector<std::string>(arguments + 2, arguments + count)) {
        try {
            Image image = read_image(path);
            const Result result = inspect(image);
            std::printf("%-5s  %8.4f  %s\n", result.nok ? "nok" : "ok", result.score, path.c_str());
        } catch (const std::exception& error) {
            status = report_error(path, error);
        }
    }
    return status;
}
