// The page that compares two runs.

/** Fill a table with a row for each name, and a column for each run. */
function fillTable(table, rows) {
  const head = (scope, text) => make("th", { scope, textContent: text });
  table.append(make("thead", {}, make("tr", {}, head("col", ""), ...data.names.map((name) => head("col", name)))));
  table.append(make("tbody", {}, ...rows.map(([name, values]) =>
    make("tr", {}, head("row", name), ...values.map((value) => make("td", { textContent: value }))))));
}

/** Create the picture of an image with a caption; without the picture if it could not be read. */
function picture(url, caption, isWrong = false) {
  const shown = url ? [make("img", { src: url, alt: "", width: 256 })] : [];
  return make("figure", {}, ...shown, make("figcaption", { className: isWrong ? "defective" : "", textContent: caption }));
}

function imageRow(image) {
  const side = ({ overlay, verdict, score, correct }, index) =>
    picture(overlay, `${data.names[index]}: ${verdict}, score ${score.toFixed(2)}${correct ? "" : ", wrong"}`, !correct);
  return make("section", {}, make("h2", { textContent: image.name }),
    make("div", { className: "panel columns" }, picture(image.original, "original"), ...image.sides.map(side)));
}

$("title").textContent = data.names.join(" and ");
$("notes").append(...data.notes.map((note) => make("li", { textContent: note })));
fillTable($("figures"), data.figures);
$("settings-section").hidden = !data.settings.length;
fillTable($("settings"), data.settings);
$("images-heading").textContent = data.images.length
  ? `Images with different verdicts: ${data.images.length}` : "No image has different verdicts";
$("images").append(...data.images.map(imageRow));
