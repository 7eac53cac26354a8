//! Just enough of SVG for plots: a text that grows.

use std::fmt::Write;

/// A drawing.
#[derive(Debug)]
pub(super) struct Svg {
    body: String,
    width: f64,
    height: f64,
}

/// Where a text stands by its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// An empty one; `title` is read to who cannot see it.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self { body: String::new(), width, height };
        svg.put(&format!("<title>{}</title>", escaped(title)));
        svg.put("<style>.b { font-weight: bold } .s { font-size: 11px; fill: #444 }</style>");
        svg.put(&format!(r##"<rect width="{width}" height="{height}" fill="#fff"/>"##));
        svg
    }

    pub(super) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64) {
        self.put(&format!(
            r##"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="8" fill="#f3f5f8" stroke="#c3cad4"/>"##
        ));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.put(&format!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    /// A line through `points`; dashed where it shows a limit and nothing measured.
    pub(super) fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dashed: bool) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dashes = if dashed { r#" stroke-dasharray="5 4""# } else { "" };
        self.put(&format!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>"#,
            points.join(" ")
        ));
    }

    pub(super) fn dot(&mut self, x: f64, y: f64, colour: &str) {
        self.put(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#));
    }

    pub(super) fn finish(self) -> String {
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="Helvetica, Arial, sans-serif" font-size="14">
{}</svg>
"#,
            self.width, self.height, self.body
        )
    }

    fn put(&mut self, element: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "  {element}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_holds_what_was_put_into_it_and_no_markup_from_texts() {
        let mut svg = Svg::new(10.0, 20.0, "a < b");
        svg.line(&[(0.0, 1.0), (2.0, 3.0)], "#333", 1.0, true);
        svg.text(1.0, 2.0, Anchor::End, "s", "P&N");
        let text = svg.finish();
        for part in ["viewBox=\"0 0 10 20\"", "a &lt; b", "0.0,1.0 2.0,3.0", "dasharray", "P&amp;N</text>"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
