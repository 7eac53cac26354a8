//! HTML that is well formed by construction.

/// HTML as it is written. Elements end where their closure ends, and all text is escaped.
#[derive(Debug, Default)]
pub(super) struct Writer {
    text: String,
}

/// The attributes of an element, of which the names are ours.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Writer {
    /// An element and what is in it.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes);
        inside(self);
        self.text += "</";
        self.text += name;
        self.text.push('>');
    }

    /// An element with a text.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |it| it.text(text));
    }

    /// An element that has no end.
    pub(super) fn void(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.open(name, attributes);
    }

    /// A text.
    pub(super) fn text(&mut self, text: &str) {
        escape(text, &mut self.text);
    }

    /// A part of the page that is ours and needs no escape: the style sheet.
    pub(super) fn ours(&mut self, text: &'static str) {
        self.text += text;
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.text.push('<');
        self.text += name;
        for (key, value) in attributes {
            self.text.push(' ');
            self.text += key;
            self.text += "=\"";
            escape(value, &mut self.text);
            self.text.push('"');
        }
        self.text.push('>');
    }
}

/// Text and values of attributes: what would end them, and what no HTML may have.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => *out += "&amp;",
            '<' => *out += "&lt;",
            '>' => *out += "&gt;",
            '"' => *out += "&quot;",
            '\'' => *out += "&#39;",
            '\n' | '\t' => out.push(' '),
            // Characters that reverse the direction of writing make a text look like another one.
            c if c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape(text, &mut out);
        out
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
        assert_eq!(escaped("a\nb\u{0}\u{202e}c"), "a b\u{fffd}\u{fffd}c");
        let mut page = Writer::default();
        page.element("p", &[("title", "\" onclick=\"alert(1)")], |page| {
            page.leaf("b", &[], "</b><script>");
            page.void("br", &[]);
        });
        assert_eq!(
            page.finish(),
            "<p title=\"&quot; onclick=&quot;alert(1)\"><b>&lt;/b&gt;&lt;script&gt;</b><br></p>"
        );
    }

    proptest! {
        #[test]
        fn nothing_ends_a_text_or_an_attribute(text in "\\PC{0,40}|[<>&\"'\\x00-\\x7f]{0,40}") {
            let escaped = escaped(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']), "{escaped}");
        }
    }
}
