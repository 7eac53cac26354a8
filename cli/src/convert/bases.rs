//! Base profiles of the Security Profiles Operator.

use convert::operator::OperatorProfile;

use super::{ConversionError, ConvertArgs, Input, Kind, read};

/// The base profiles that options name.
pub(super) struct Bases {
    /// Each with the `baseProfileName` that means it, if an option says so.
    profiles: Vec<(Option<String>, OperatorProfile)>,
}

impl Bases {
    /// Those in the files of `--base`, which are given in the same order.
    pub(super) fn of(files: &[Input], args: &ConvertArgs) -> Result<Self, ConversionError> {
        let mut profiles = Vec::new();
        for (option, file) in args.bases.iter().zip(files) {
            let read = read(file, &mut Vec::new())?;
            let read = read.into_iter().filter_map(|source| match source.kind {
                Kind::OtherOperator(profile) => Some((option.name.clone(), profile)),
                Kind::Plain(_) | Kind::Ours(_) => None,
            });
            let read: Vec<_> = read.collect();
            if let (Some(name), false) = (&option.name, read.len() == 1) {
                let (path, found) = (file.path.clone(), read.len());
                return Err(ConversionError::Base { path, found, name: name.clone() });
            }
            profiles.extend(read);
        }
        Ok(Self { profiles })
    }

    /// The profile that a `baseProfileName` of `of` means: one that an option gives this name, or an object of this name
    /// among these or among those that are converted. Names count within a namespace.
    pub(super) fn find<'a>(
        &'a self,
        converted: &[&'a OperatorProfile],
        of: &OperatorProfile,
        name: &str,
    ) -> Option<&'a OperatorProfile> {
        let named = self.profiles.iter().find(|(option, _)| option.as_deref() == Some(name));
        let unnamed = self.profiles.iter().filter(|(option, _)| option.is_none()).map(|(_, profile)| profile);
        let is_same =
            |one: Option<&str>, other: Option<&str>| one.is_none() || other.is_none() || one == other;
        let is_meant = |profile: &&OperatorProfile| {
            profile.name() == Some(name) && is_same(profile.namespace(), of.namespace())
        };
        named.map(|(_, profile)| profile).or_else(|| unnamed.chain(converted.iter().copied()).find(is_meant))
    }
}
