//! The verdicts of calls that are named on the command line.

use filter::{Basis, Case, Consequence, Explainer, Permission, Runtime, Setting, Verdict, is_exempt};
use serde::Serialize;
use syscalls::Libseccomp;

use super::Subject;
use super::place::Reason;
use crate::call::Asked;
use crate::error::CliError;
use crate::setting::SettingOptions;
use crate::show::{Cell, Paint, Table, Tone, notes};

/// What happens to some calls.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallsView {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    runtime: &'static str,
    calls: Vec<CallView>,
    /// What the other runtime does with the calls for which it is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_runtime: Option<OtherRuntime>,
    /// What the verdicts do not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// What happens to a call.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct CallView {
    call: String,
    number: u32,
    /// Whether the kernel makes the call whatever the verdict is.
    #[serde(skip)]
    is_exempt: bool,
    /// The arguments on which it depends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<u8>,
    /// The first one of which all conditions hold decides, but for those that only perhaps do.
    cases: Vec<CaseView>,
}

/// What happens to a call under some conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CaseView {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) when: Vec<String>,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    /// Whether this is one of several verdicts that the call may have where no case before applies: libseccomp merges the
    /// rules, and for which arguments it has which one cannot be said by their conditions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) perhaps: bool,
    #[serde(flatten)]
    pub(crate) reason: Reason,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct OtherRuntime {
    runtime: &'static str,
    /// The reason why the profile has no filter there.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuses: Option<String>,
    /// What follows from that.
    #[serde(skip)]
    consequence: Option<Consequence>,
    calls: Vec<OtherCall>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct OtherCall {
    call: String,
    verdicts: Vec<Verdict>,
}

impl CallsView {
    /// What the profile does with the calls.
    ///
    /// # Errors
    /// No container starts with the profile, or a text is no call.
    pub(crate) fn of(subject: &Subject, texts: &[String], options: SettingOptions) -> Result<Self, CliError> {
        let explainer = options.explainer(&subject.profile.profile);
        let explainer =
            explainer.map_err(|error| CliError::Unloadable { file: subject.file.clone(), error })?;
        let mut asked = Vec::new();
        for text in texts {
            let read = Asked::read(text, options.architecture.into());
            asked.push(read.map_err(|error| CliError::Call { call: text.clone(), error })?);
        }
        let mut calls = Vec::new();
        for (text, call) in texts.iter().zip(&asked) {
            let found = explainer.explain(call.architecture, call.number, &call.arguments);
            let found = found.map_err(|_| CliError::Undecided { call: text.clone() })?;
            calls.push(CallView {
                call: text.trim().to_owned(),
                number: call.number,
                is_exempt: call.name().is_some_and(is_exempt),
                depends_on: found.depends_on,
                cases: subject.cases(&found.cases, (call.architecture, call.number), options),
            });
        }
        let other = OtherRuntime::of(subject, texts, &asked, &explainer, options)?;
        let mut notes = subject.notes(options);
        notes.extend(calls.iter().filter(|call| call.is_exempt).map(|call| {
            format!("Linux passes {} around every filter, so that its verdict has no effect", call.call)
        }));
        Ok(Self {
            file: subject.file.clone(),
            profile: subject.profile.name.clone(),
            runtime: Runtime::from(options.runtime).name,
            calls,
            other_runtime: other,
            notes,
        })
    }

    /// Whether every call is permitted, whatever its arguments are.
    #[must_use]
    pub fn permits_all(&self) -> bool {
        let decided = self.calls.iter().filter(|call| !call.is_exempt);
        decided.flat_map(|call| &call.cases).all(|case| permits(case.verdict))
    }

    /// The view as text.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let mut table = Table::new(["CALL", "VERDICT", "WHEN", "DECIDED BY"]);
        for call in &self.calls {
            let mut name = call.call.as_str();
            for case in &call.cases {
                let tone = if permits(case.verdict) { Tone::Good } else { Tone::Bad };
                let when = case.condition(call.cases.len());
                table.row([
                    name.into(),
                    Cell::toned(case.verdict, tone),
                    when.into(),
                    case.reason.text.as_str().into(),
                ]);
                name = "";
            }
        }
        let mut text = table.render(paint);
        if let Some(other) = &self.other_runtime {
            text += &paint.text(&other.line(), Tone::Plain);
            text.push('\n');
        }
        text + &notes(&self.notes, paint)
    }
}

/// Whether a call is made, at least if another process agrees.
pub(crate) fn permits(verdict: Verdict) -> bool {
    verdict.permission() >= Permission::Log
}

impl CaseView {
    /// The condition in words, of one of so many cases.
    pub(crate) fn condition(&self, cases: usize) -> String {
        match (&self.when[..], cases) {
            ([], _) if self.perhaps => "otherwise perhaps".to_owned(),
            ([], 1) => "always".to_owned(),
            ([], _) => "otherwise".to_owned(),
            (when, _) => when.join(" and "),
        }
    }
}

impl Subject {
    /// The cases of a call with their places in the file.
    pub(crate) fn cases(
        &self,
        cases: &[Case],
        call: (profile::Architecture, u32),
        options: SettingOptions,
    ) -> Vec<CaseView> {
        let libseccomp = Libseccomp::from(options.libseccomp);
        let is_merged = |case: &&Case| case.basis == Basis::Merged;
        let several = cases.iter().filter(is_merged).count() > 1;
        let view = |case: &Case| {
            let reason = |setting: &Setting<'_>| self.reason(case.basis, call, setting, libseccomp.name());
            CaseView {
                when: case.conditions.iter().map(ToString::to_string).collect(),
                verdict: case.verdict,
                perhaps: several && is_merged(&case),
                reason: options.apply(reason),
            }
        };
        cases.iter().map(view).collect()
    }
}

impl OtherRuntime {
    /// What crun does otherwise, or for crun what the newest runc does.
    fn of(
        subject: &Subject,
        texts: &[String],
        asked: &[Asked],
        here: &Explainer,
        options: SettingOptions,
    ) -> Result<Option<Self>, CliError> {
        let other = options.other_runtime();
        let name = Runtime::from(other.runtime).name;
        let there = match other.explainer(&subject.profile.profile) {
            Ok(there) => there,
            Err(error) => {
                let (refuses, consequence) = (Some(error.to_string()), Some(error.consequence()));
                return Ok(Some(Self { runtime: name, refuses, consequence, calls: Vec::new() }));
            }
        };
        let mut calls = Vec::new();
        for (text, call) in texts.iter().zip(asked) {
            let cases = |explainer: &Explainer| {
                let found = explainer.explain(call.architecture, call.number, &call.arguments);
                let found = found.map_err(|_| CliError::Undecided { call: text.clone() })?;
                Ok::<_, CliError>(
                    found.cases.into_iter().map(|it| (it.conditions, it.verdict)).collect::<Vec<_>>(),
                )
            };
            let there = cases(&there)?;
            if cases(here)? != there {
                let verdicts = there.into_iter().map(|(_, verdict)| verdict).collect();
                calls.push(OtherCall { call: text.trim().to_owned(), verdicts });
            }
        }
        Ok((!calls.is_empty()).then_some(Self { runtime: name, refuses: None, consequence: None, calls }))
    }

    fn line(&self) -> String {
        if let (Some(refuses), Some(consequence)) = (&self.refuses, self.consequence) {
            return format!("under {} {}: {refuses}", self.runtime, consequence.of("this profile"));
        }
        let call = |it: &OtherCall| {
            let verdicts: Vec<_> = it.verdicts.iter().map(ToString::to_string).collect();
            format!("{}: {}", it.call, verdicts.join(" or "))
        };
        let calls: Vec<_> = self.calls.iter().map(call).collect();
        format!("{} decides otherwise: {}", self.runtime, calls.join(", "))
    }
}
