//! The bounds of what is followed.

use super::*;
use crate::program::begin;
use crate::search::Level;
use crate::{Entry, Files, Request};

/// A root with one file.
struct One(Vec<u8>);

impl Files for One {
    fn entry(&self, path: &str) -> Option<Entry> {
        (path == "/program").then_some(Entry::File)
    }

    fn read(&self, _: &str, _: usize) -> Result<Vec<u8>, String> {
        Ok(self.0.clone())
    }

    fn head(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        self.read(path, most)
    }

    fn names(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// mov edi, 39; call wrapper; mov eax, 60; syscall; hlt; wrapper: mov eax, edi; syscall; ret
const CODE: &[u8] =
    &[0xbf, 39, 0, 0, 0, 0xe8, 8, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0xf4, 0x89, 0xf8, 0x0f, 0x05, 0xc3];

#[test]
fn a_function_that_there_is_no_room_to_decode_anew_is_an_open_place() {
    let files = One(crate::testing::program(CODE));
    let request = Request { program: "/program".to_owned(), ..Request::default() };
    let mut space = Space::load(&files, &request, Level::default()).unwrap();
    let mut reach = Reach::new(&request.program);
    begin(&space, &mut reach, &space.ids().collect::<Vec<_>>()).unwrap();
    space.finish();
    reach.finish();
    let wrapper = *reach.kernel_entries.last().unwrap();
    let mut solver = Solver::new(&space, &reach, limits::STEPS);
    let mut register = |again: Option<usize>, is_kept: fn(FunctionId, FunctionId) -> bool| {
        solver.flows.retain(|id, _| is_kept(*id, wrapper.from));
        solver.again = again.unwrap_or(solver.again);
        solver.register(wrapper.from, wrapper.at, Register::RAX, u64::MAX)
    };
    let number = |values: &Values| values.known.keys().copied().collect::<Vec<_>>();
    // For the first time, and anew.
    for again in [None, Some(0)] {
        let values = register(again, |_, _| false);
        assert!(values.open.is_empty() && number(&values) == [39], "{values:?}");
    }
    let kept: [fn(FunctionId, FunctionId) -> bool; 2] = [|_, _| false, |id, wrapper| id == wrapper];
    for is_kept in kept {
        let values = register(Some(limits::INSTRUCTIONS_AGAIN), is_kept);
        assert!(!values.open.is_empty() && values.known.is_empty(), "{values:?}");
    }
}
