// Inspect images with an exported detector and print one line per image, as `ssim-ae predict` does.
//
//     dotnet run -- detector.onnx image.ppm [more.ppm]
//
// Images are binary PPM (RGB) or PGM (gray) files, which can be read without a library. A camera's SDK returns the same bytes.
// The exit status is 2 if an image could not be inspected.
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

if (args.Length < 2)
{
    Console.Error.WriteLine("usage: dotnet run -- detector.onnx image.ppm [more.ppm]");
    return 2;
}

// Log errors only: ONNX Runtime warns that the input `thresholds` has a default value, which is intended.
using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
InferenceSession session;
try
{
    session = new InferenceSession(args[0], options);
}
catch (OnnxRuntimeException error)
{
    ReportError(args[0], error);
    return 2;
}

var status = 0;
using (session)
{
    foreach (var path in args.Skip(1))
    {
        try
        {
            using var outputs = session.Run([NamedOnnxValue.CreateFromTensor("image", ReadImage(path))], ["score", "verdict"]);
            var score = outputs[0].AsEnumerable<float>().First();
            var verdict = outputs[1].AsEnumerable<bool>().First() ? "nok" : "ok"; // or score > k, for other thresholds
            Console.WriteLine($"{verdict,-5}  {score.ToString("F4", CultureInfo.InvariantCulture),8}  {path}");
        }
        catch (Exception error)
        {
            ReportError(path, error);
            status = 2;
        }
    }
}
return status;

// Read the pixels of a file: height x width x channels.
static DenseTensor<byte> ReadImage(string path)
{
    var file = File.ReadAllBytes(path);
    var start = Encoding.Latin1.GetString(file, 0, Math.Min(file.Length, 64));
    var header = Regex.Match(start, @"^P([56])\s+(\d{1,5})\s+(\d{1,5})\s+255\s");
    if (!header.Success) throw new InvalidDataException("not a binary PPM or PGM of 8 bits without comments");
    var (width, height) = (int.Parse(header.Groups[2].Value), int.Parse(header.Groups[3].Value));
    var channels = header.Groups[1].Value == "6" ? 3 : 1;
    if (width * height == 0 || Math.Max(width, height) > 16384) throw new InvalidDataException("not of 1 to 16384 px"); // or a corrupt header
    var length = height * width * channels;
    if (file.Length < header.Length + length) throw new InvalidDataException("truncated");
    return new DenseTensor<byte>(file.AsMemory(header.Length, length), [height, width, channels]);
}

static void ReportError(string path, Exception error) =>
    Console.Error.WriteLine($"error  {path}: {error.Message.Split('\n')[0]}");
