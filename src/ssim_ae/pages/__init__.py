"""HTML, CSS and JavaScript that the pages share: style, template, images in layers, gallery, threshold slider."""
