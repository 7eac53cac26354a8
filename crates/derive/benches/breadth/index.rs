//! Debian's index of packages, as apt on this machine has it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Packages of programs that also have a library where the loader looks, which programs of other packages load.
const ALSO_LIBRARIES: &[&str] = &["r-base-core"];

/// A package of Debian's `main` for this architecture or for all.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    pub(crate) section: String,
    source: String,
    /// What the tags say that it is, such as `program` or `shared-lib`.
    pub(crate) roles: Vec<String>,
    /// Each with its alternatives.
    needs: Vec<Vec<String>>,
}

/// The packages, by name.
pub(crate) struct Index {
    pub(crate) packages: BTreeMap<String, Package>,
    /// By the name that they provide.
    providers: BTreeMap<String, BTreeSet<String>>,
}

impl Index {
    /// The index of this machine, which is Debian 12. The lists are brought up to date first, as those of a new image are
    /// absent.
    pub(crate) fn of_this_machine() -> Self {
        let updated = Command::new("apt-get").args(["--quiet", "update"]).output().expect("apt is installed");
        if !updated.status.success() {
            eprintln!("the lists are those of before: {}", String::from_utf8_lossy(&updated.stderr));
        }
        let text = Command::new("apt-cache").arg("dumpavail").output().expect("apt is installed").stdout;
        Self::read(&String::from_utf8_lossy(&text))
    }

    fn read(text: &str) -> Self {
        let mut index = Self { packages: BTreeMap::new(), providers: BTreeMap::new() };
        for record in text.split("\n\n") {
            let fields = fields(record);
            let field = |name| fields.get(name).map_or("", String::as_str);
            let is_main =
                ["pool/main/", "pool/updates/main/"].iter().any(|it| field("Filename").starts_with(it));
            if !is_main {
                continue;
            }
            let name = field("Package").to_owned();
            for provided in alternatives(field("Provides")).into_iter().flatten() {
                index.providers.entry(provided).or_default().insert(name.clone());
            }
            let source = field("Source").split(' ').next().filter(|it| !it.is_empty()).unwrap_or(&name);
            let mut needs = alternatives(field("Pre-Depends"));
            needs.extend(alternatives(field("Depends")));
            let package = Package {
                version: field("Version").to_owned(),
                architecture: field("Architecture").to_owned(),
                section: field("Section").to_owned(),
                source: source.to_owned(),
                roles: field("Tag")
                    .split(", ")
                    .filter_map(|it| it.strip_prefix("role::"))
                    .map(str::to_owned)
                    .collect(),
                needs,
                name: name.clone(),
            };
            index.packages.insert(name, package);
        }
        index
    }

    /// The package, and what its programs can load: the libraries among what it needs, what these need, and what is built
    /// from the same source. glibc is always among them.
    pub(crate) fn loaded(&self, name: &str) -> BTreeSet<&str> {
        let source = &self.packages[name].source;
        let mut found = BTreeSet::new();
        let mut next = vec![name, "libc6", "libc-bin"];
        while let Some(name) = next.pop() {
            let Some((name, package)) = self.packages.get_key_value(name) else { continue };
            if !found.insert(name.as_str()) {
                continue;
            }
            for need in &package.needs {
                let Some(chosen) = self.chosen(need) else { continue };
                if chosen.is_library() || &chosen.source == source {
                    next.push(&chosen.name);
                }
            }
        }
        found.into_iter().filter(|it| self.packages[*it].architecture == "amd64").collect()
    }

    /// The first alternative that there is, or the first package that provides one.
    fn chosen(&self, need: &[String]) -> Option<&Package> {
        let provider = |name: &String| self.providers.get(name)?.first();
        let real = need.iter().find_map(|it| self.packages.get(it));
        real.or_else(|| self.packages.get(need.iter().find_map(provider)?))
    }
}

impl Package {
    fn is_library(&self) -> bool {
        matches!(self.section.as_str(), "libs" | "oldlibs")
            || self.name.starts_with("lib")
            || self.name.ends_with("-libs")
            || ALSO_LIBRARIES.contains(&self.name.as_str())
    }
}

/// The fields of a record; lines that begin with a space continue one.
fn fields(record: &str) -> BTreeMap<&str, String> {
    let mut found = BTreeMap::<&str, String>::new();
    let mut last = "";
    for line in record.lines() {
        if line.starts_with(' ') {
            found.entry(last).or_default().push_str(line);
        } else if let Some((name, value)) = line.split_once(':') {
            last = name;
            found.insert(name, value.trim().to_owned());
        }
    }
    found
}

/// The names in `libc6 (>= 2.36), libjack0 | libjack-0.125`.
fn alternatives(text: &str) -> Vec<Vec<String>> {
    let name = |it: &str| it.trim().split([' ', '(', ':']).next().unwrap_or_default().to_owned();
    let needs = text.split(',').map(|need| need.split('|').map(name).filter(|it| !it.is_empty()).collect());
    needs.filter(|it: &Vec<_>| !it.is_empty()).collect()
}
