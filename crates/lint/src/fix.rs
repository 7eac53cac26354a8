//! A change of a profile that mends a finding.

use profile::{FieldPath, Flag, Profile, Rule, Segment};
use serde::Serialize;
use serde_json::Value;

use crate::place::{self, as_text, written};
use crate::subject::Mention;

/// A change of a profile after which a rule no longer finds what it found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fix {
    /// Whether the filter stays the same.
    pub safety: Safety,
    /// What it does, as an instruction: `Remove the rule`.
    pub title: String,
    /// The change.
    pub edit: Edit,
}

/// Whether a fix changes what the filter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Safety {
    /// The filter stays the same in every runtime.
    Safe,
    /// The filter changes: somebody must decide whether the change is wanted.
    Unsafe,
}

/// A change at one place of a profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Edit {
    /// Removes the field or the item.
    Remove {
        /// Which.
        #[serde(serialize_with = "as_text")]
        path: FieldPath,
    },
    /// Gives the field or the item another value.
    Set {
        /// Which.
        #[serde(serialize_with = "as_text")]
        path: FieldPath,
        /// The value.
        value: Value,
    },
    /// Adds items at the end of the list.
    Append {
        /// The list.
        #[serde(serialize_with = "as_text")]
        path: FieldPath,
        /// The items.
        values: Vec<Value>,
    },
}

impl Fix {
    pub(crate) fn new(safety: Safety, title: impl Into<String>, edit: Edit) -> Self {
        Self { safety, title: title.into(), edit }
    }

    /// Removes a flag, and the whole list if it has no other: to a runtime that reads the file, an empty list is not the same
    /// as none. It is unsafe, because the filter is then loaded with others.
    pub(crate) fn without_flag(profile: &Profile, index: usize, flag: Flag) -> Self {
        let is_only = profile.flags().len() == 1;
        let path = if is_only { place::field("flags") } else { place::flag(index) };
        Self::new(Safety::Unsafe, format!("Remove {}", flag.name()), Edit::Remove { path })
    }

    /// Removes a name from a rule, and the rule if it has no other.
    pub(crate) fn without_name(safety: Safety, profile: &Profile, mention: Mention) -> Self {
        let names = profile.rules().get(mention.rule).map_or(&[][..], Rule::names);
        let (title, path) = match names.get(mention.name) {
            Some(name) if names.len() > 1 => {
                (format!("Remove {} here", name.as_str()), place::name(mention.rule, mention.name))
            }
            _ => ("Remove the rule".to_owned(), place::rule(mention.rule)),
        };
        Self::new(safety, title, Edit::Remove { path })
    }

    /// Changes the contents of a profile. Returns whether the place was found; otherwise nothing is changed.
    pub fn apply(&self, contents: &mut Value) -> bool {
        self.edit.apply(contents)
    }
}

impl Edit {
    /// Changes the contents of a profile. Returns whether the place was found; otherwise nothing is changed.
    pub fn apply(&self, contents: &mut Value) -> bool {
        self.changed(contents).is_some()
    }

    /// The edit at its place in the contents that an author wrote; `None` if the list to which it adds is not there.
    pub(crate) fn in_contents(self, contents: &Value) -> Option<Self> {
        Some(match self {
            Self::Remove { path } => Self::Remove { path: written(path, contents) },
            Self::Set { path, value } => Self::Set { path: written(path, contents), value },
            Self::Append { path, values } => {
                let exists = get(contents, path.segments()).is_some_and(Value::is_array);
                exists.then_some(Self::Append { path, values })?
            }
        })
    }

    /// Where a field was before this edit that is at this path after it.
    #[must_use]
    pub fn before(&self, path: &FieldPath) -> FieldPath {
        let mut segments = path.segments().to_vec();
        if let Self::Remove { path: removed } = self
            && let Some((Segment::Index(gone), list)) = removed.segments().split_last()
            && segments.starts_with(list)
            && let Some(Segment::Index(at)) = segments.get_mut(list.len())
            && *at >= *gone
        {
            *at += 1;
        }
        segments.into_iter().collect()
    }

    fn changed(&self, contents: &mut Value) -> Option<()> {
        match self {
            Self::Remove { path } => {
                let (last, parents) = path.segments().split_last()?;
                match (at(contents, parents)?, last) {
                    (Value::Object(map), Segment::Key(key)) => map.remove(&**key).map(drop),
                    (Value::Array(items), Segment::Index(index)) => {
                        (*index < items.len()).then(|| drop(items.remove(*index)))
                    }
                    _ => None,
                }
            }
            Self::Set { path, value } => {
                *at(contents, path.segments())? = value.clone();
                Some(())
            }
            Self::Append { path, values } => {
                at(contents, path.segments())?.as_array_mut()?.extend_from_slice(values);
                Some(())
            }
        }
    }
}

fn get<'v>(contents: &'v Value, segments: &[Segment]) -> Option<&'v Value> {
    segments.iter().try_fold(contents, |value, segment| match segment {
        Segment::Key(key) => value.get(&**key),
        Segment::Index(index) => value.get(*index),
    })
}

fn at<'v>(contents: &'v mut Value, segments: &[Segment]) -> Option<&'v mut Value> {
    segments.iter().try_fold(contents, |value, segment| match segment {
        Segment::Key(key) => value.get_mut(&**key),
        Segment::Index(index) => value.get_mut(*index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_behind_a_removed_item_had_a_higher_index() {
        let path = |rule: usize, name: usize| place::name(rule, name);
        let rule = Edit::Remove { path: place::rule(1) };
        assert_eq!(
            [0, 1, 2].map(|index| rule.before(&path(index, 4))),
            [0, 2, 3].map(|index| path(index, 4))
        );
        let name = Edit::Remove { path: path(1, 1) };
        assert_eq!(name.before(&path(1, 1)), path(1, 2));
        assert_eq!(name.before(&path(2, 1)), path(2, 1));
        assert_eq!(name.before(&place::rule(1)), place::rule(1));
        let field = Edit::Remove { path: place::field("flags") };
        assert_eq!(field.before(&path(1, 1)), path(1, 1));
    }
}
