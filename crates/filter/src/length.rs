//! How many instructions a filter has at most: the kernel loads none with more than 4,096.
//!
//! libseccomp writes one instruction for each call and some for each condition. A conditional jump reaches 255
//! instructions; where its target is farther away, libseccomp writes another instruction near it: a copy of the return, or
//! an unconditional jump, which all jumps to the same target use that are near. So how many there are depends on the
//! length, and the length on them. What is computed here is never less than the length, and for profiles that many use at
//! most a tenth more (`tests/libseccomp/` compares it with programs that libseccomp wrote).
//!
//! (`_gen_bpf_build_bpf`, `_gen_bpf_arch`, `_gen_bpf_bintree` and `_gen_bpf_build_jmp` in src/gen_bpf.c of libseccomp 2.5.4 to
//! 2.6.1; `generateEnosysStub` in libcontainer/seccomp/patchbpf of runc 1.5.1.)

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use profile::{Architecture, Profile};

use crate::Verdict;
use crate::abi::{is_x86_64, table, width};
use crate::assemble::{Key, Part, architectures, call_rules, parts};
use crate::setting::{Setting, Unloadable};
use crate::tree::{CallRule, Program, Refusal, Size, Tree, Width};

/// The largest number of instructions of a filter that Linux loads (`BPF_MAXINSNS` in its include/uapi/linux/bpf_common.h).
pub const MOST_INSTRUCTIONS: usize = 4096;

/// Instructions between two copies of one target: the jump that made libseccomp write the second did not reach the first.
/// A block has at most four instructions besides.
const REACH: usize = 250;
/// Calls behind one leaf of the binary tree.
const LEAF: usize = 4;
/// runc's stub: the load and the last three instructions, and for each architecture two jumps and a section of seven.
const STUB: (usize, usize) = (4, 9);

/// What is written for the calls of one architecture, or of `x86_64` and x32 together.
#[derive(Default)]
struct Group {
    architectures: Vec<Architecture>,
    calls: usize,
}

impl Group {
    fn of_x86_64(&self) -> bool {
        self.architectures.iter().any(|architecture| is_x86_64(*architecture))
    }
}

/// A number of instructions that the filter of a profile has at most, without those that run before it in other filters. For
/// an architecture of which no table of numbers is known, every call that the profile names counts.
///
/// # Errors
///
/// If no container starts with the profile for another reason.
pub fn most_instructions(profile: &Profile, setting: &Setting<'_>) -> Result<usize, Unloadable> {
    let named = profile.rules().iter().flat_map(|rule| rule.names()).map(|name| name.as_str());
    let assumed: BTreeMap<&str, u32> = named.chain(["socketcall", "ipc"]).zip(0..).collect();
    let number = |name: &str, architecture: Architecture| {
        let has_table = || table(architecture).is_some();
        let known = (setting.number)(name, architecture);
        known.or_else(|| if has_table() { None } else { assumed.get(name).copied() })
    };
    let setting = Setting { number: &number, ..*setting };
    let default = Verdict::from(profile.default_effect());
    let (mut groups, mut trees, mut plain) = (Vec::<Group>::new(), Vec::new(), Vec::new());
    let mut known: HashMap<(Width, Vec<CallRule>), Rc<Tree>> = HashMap::new();
    let covered = architectures(profile, &setting)?;
    for architecture in &covered {
        let of_x86_64 = |group: &Group| is_x86_64(*architecture) && group.of_x86_64();
        let at = groups.iter().position(of_x86_64).unwrap_or(groups.len());
        if at == groups.len() {
            groups.push(Group::default());
        }
        let group = &mut groups[at];
        group.architectures.push(*architecture);
        for (key, parts) in parts(profile, *architecture, &setting).calls() {
            if !matches!(key, Key::Number(_)) {
                continue;
            }
            group.calls += 1;
            if let Some((_, part)) = parts.iter().find(|(_, part)| part.call_rule.conditions.is_empty()) {
                plain.push(part.call_rule.verdict);
                continue;
            }
            let rules = call_rules(parts);
            let refused = |refusal: Refusal| {
                let part = parts.get(refusal.rule().min(parts.len() - 1)).map(|(_, part)| part);
                Unloadable::Rules {
                    architecture: *architecture,
                    name: part.map(|part| part.name.clone()),
                    mention: part.map(Part::mention),
                    refusal,
                }
            };
            // Rules with many conditions often name many calls, and to merge them takes long.
            let key = (width(*architecture), rules);
            let tree = match known.get(&key) {
                Some(tree) => Rc::clone(tree),
                None => Rc::new(Tree::new(&key.1, key.0, setting.library.merging).map_err(refused)?),
            };
            known.insert(key, Rc::clone(&tree));
            trees.push(tree);
        }
    }
    let mut size = Program::new(trees.iter().map(|tree| &**tree), default).size();
    for verdict in plain {
        *size.returns.entry(verdict).or_default() += 1;
    }
    let sorted = setting.runtime.is_sorted(profile);
    let stub = if setting.runtime.has_stub(profile) { STUB.0 + STUB.1 * covered.len() } else { 0 };
    Ok(stub + length(&groups, size, default, sorted))
}

fn length(groups: &[Group], size: Size, default: Verdict, sorted: bool) -> usize {
    let Size { instructions, mut returns, mut far, large } = size;
    // The load of the architecture, and the return for others at the end.
    let mut known = instructions + 2;
    // The levels of the binary trees, each with its number of comparisons.
    let mut levels = Vec::<usize>::new();
    for group in groups {
        let Group { architectures, calls } = group;
        // The comparison of the architecture and the jump over its calls, and the load of the number.
        known += 3 + calls;
        if group.of_x86_64() && architectures.len() == 1 {
            // The comparisons that tell calls of x32, with their load.
            known += 4;
        }
        // Behind the last call comes the default, and in a tree behind the last one of each leaf.
        let leaves = if sorted { calls.div_ceil(LEAF) + 1 } else { 1 };
        *returns.entry(default).or_default() += leaves;
        if sorted {
            for (level, number) in comparisons(*calls).into_iter().enumerate() {
                known += number;
                match levels.get_mut(level) {
                    Some(all) => *all += number,
                    None => levels.push(number),
                }
            }
        }
    }
    known += returns.len() + large;
    far.extend(returns.into_values());
    let mut length = known;
    loop {
        let copies = |references: &usize| (*references).min(length / REACH + 1);
        // Of the comparisons of one level, those that jump far skip different instructions.
        let jumps = |comparisons: &usize| (*comparisons).min(length / REACH);
        let next = known + far.iter().map(copies).sum::<usize>() + levels.iter().map(jumps).sum::<usize>();
        if next <= length {
            return length;
        }
        length = next;
    }
}

/// How many comparisons the binary tree of some calls has on each level, from the leaves up.
fn comparisons(calls: usize) -> Vec<usize> {
    let mut levels = Vec::new();
    let mut leaves = calls.div_ceil(LEAF);
    while leaves > 1 {
        leaves = leaves.div_ceil(2);
        levels.push(leaves);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_a_comparison_for_each_pair_of_leaves_and_of_what_is_above() {
        assert_eq!(comparisons(0), Vec::<usize>::new());
        assert_eq!(comparisons(4), Vec::<usize>::new());
        assert_eq!(comparisons(5), [1]);
        assert_eq!(comparisons(17), [3, 2, 1]);
        assert_eq!(comparisons(343), [43, 22, 11, 6, 3, 2, 1]);
    }
}
