// Inspect PNG, JPEG or BMP images with an exported detector and print one line per image, as `ssim-ae predict` does.
//
//     dotnet run -- detector.onnx image.png [more.png]
//
// The exit status is 2 if an image could not be inspected.
using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using StbImageSharp;

if (args.Length < 2)
{
    Console.Error.WriteLine("usage: dotnet run -- detector.onnx image.png [more.png]");
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
            using var stream = File.OpenRead(path);
            var image = ImageResult.FromStream(stream, ColorComponents.RedGreenBlue);
            var pixels = new DenseTensor<byte>(image.Data, [image.Height, image.Width, 3]);
            using var outputs = session.Run([NamedOnnxValue.CreateFromTensor("image", pixels)], ["score", "verdict"]);
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

static void ReportError(string path, Exception error) =>
    Console.Error.WriteLine($"error  {path}: {error.Message.Split('\n')[0]}");
