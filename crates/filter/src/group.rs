//! The calls of one architecture as libseccomp writes them into a program; x86_64 and x32 are written together.

use std::cmp::Reverse;
use std::rc::Rc;

use profile::Architecture;

use crate::abi::is_x86_64;
use crate::assemble::Table;
use crate::tree::Tree;

/// Calls that are written together.
#[derive(Default)]
pub(crate) struct Group {
    architectures: Vec<Architecture>,
    calls: Vec<(Architecture, u32, Rc<Tree>)>,
    lacking: Vec<Rc<Tree>>,
}

impl From<Table> for Group {
    fn from(table: Table) -> Self {
        let mut group = Self::default();
        group.add(table);
        group
    }
}

impl Group {
    pub(crate) fn of_x86_64(&self) -> bool {
        self.architectures.iter().any(|architecture| is_x86_64(*architecture))
    }

    pub(crate) fn add(&mut self, table: Table) {
        let Table { architecture, trees, lacking, .. } = table;
        self.architectures.push(architecture);
        self.calls.extend(trees.into_iter().map(|(number, tree)| (architecture, number, tree)));
        self.lacking.extend(lacking);
    }

    /// The calls that have rules in the program, in the order in which they are written.
    pub(crate) fn written(mut self, sorted: bool) -> Vec<(Architecture, u32, Rc<Tree>)> {
        if sorted {
            self.calls.sort_by_key(|(_, number, _)| Reverse(*number));
        } else if self.is_never_reached() {
            return Vec::new();
        } else {
            self.calls.sort_by_key(|(_, _, tree)| Reverse(tree.priority()));
        }
        self.calls
    }

    /// Whether nothing loads the number of the call, so that no call has the number of a rule: libseccomp lets the first
    /// call of a group load it, and leaves that call out if the architecture lacks it (`_gen_bpf_syscalls` in its
    /// src/gen_bpf.c). The first one is that with the fewest tests. x86_64 alone loads the number before, to tell calls
    /// of x32.
    fn is_never_reached(&self) -> bool {
        let loads = self.architectures.len() == 1 && self.of_x86_64();
        let first = self.calls.iter().map(|(_, _, tree)| tree.priority()).max();
        let lacking = self.lacking.iter().map(|tree| tree.priority()).max();
        !loads && lacking > first
    }
}
