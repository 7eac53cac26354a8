//! What is derived, before it is attached.

use std::collections::BTreeSet;
use std::fmt::Write;

use lint::Finding;
use registry::Reference;

use crate::derive::FromImage;
use crate::findings::in_words;
use crate::profile_text::seccomp_profile;
use crate::show::{Paint, Table, Tone, count, escaped};

/// The profile of an image, with where it comes from.
pub(super) struct BuildView<'v> {
    pub(super) image: &'v Reference,
    pub(super) found: &'v FromImage,
    pub(super) findings: &'v [Finding],
}

impl BuildView<'_> {
    pub(super) fn render(&self, paint: Paint) -> String {
        let FromImage { name, profile, programs, remarks, .. } = self.found;
        let mut table = Table::new(["PROGRAM", "CALLS", "BECAUSE"]);
        for it in programs {
            table.row([
                (&it.derived.program).into(),
                it.derived.calls.len().into(),
                it.because.to_string().into(),
            ]);
        }
        let mut text =
            format!("{}\n\n{}\n", paint.text(&self.image.to_string(), Tone::Heading), table.render(paint));
        text += &seccomp_profile(name.as_str(), profile);
        // With arguments, a call may have several rules.
        let names: BTreeSet<_> = profile.rules().iter().flat_map(|rule| rule.names()).collect();
        _ = writeln!(text, "\n{} permitted", count(names.len(), "call"));
        for remark in remarks {
            _ = writeln!(text, "{}", escaped(remark));
        }
        text + &in_words(self.findings, paint)
    }
}
