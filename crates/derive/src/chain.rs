//! How a call is reached.

use std::fmt;

use crate::functions::FunctionId;
use crate::names::Names;
use crate::numbers::Origin;
use crate::reach::{How, Parent, Reach};
use crate::space::Space;

/// How one place leads to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The program begins here.
    Entry,
    /// The loader begins here, or calls it to find out which function to use.
    Loader,
    /// The loader calls it when it loads or unloads the object.
    Constructor,
    /// The loader, the C library or the program finds it by its name.
    ByName,
    /// Data has its address that the place before it can read, or code that the loader calls.
    Pointer,
    /// Go's linker keeps only what can be reached.
    KeptByLinker,
    /// A call leads from here to the next place.
    Call,
    /// A jump.
    Jump,
    /// A jump by a table.
    Table,
    /// Code here has the address of the next place, which may be called indirectly.
    Address,
    /// The next place follows without a jump.
    Follows,
    /// An exception leads to the next place.
    Exception,
    /// The kernel is called here.
    Kernel,
}

impl Step {
    /// One word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Loader => "loader",
            Self::Constructor => "constructor",
            Self::ByName => "by-name",
            Self::Pointer => "pointer",
            Self::KeptByLinker => "kept-by-linker",
            Self::Call => "call",
            Self::Jump => "jump",
            Self::Table => "table",
            Self::Address => "address",
            Self::Follows => "follows",
            Self::Exception => "exception",
            Self::Kernel => "kernel",
        }
    }
}

impl From<How> for Step {
    fn from(how: How) -> Self {
        match how {
            How::Entry => Self::Entry,
            How::Loader => Self::Loader,
            How::Constructor => Self::Constructor,
            How::ByName => Self::ByName,
            How::Pointer => Self::Pointer,
            How::KeptByLinker => Self::KeptByLinker,
            How::Call => Self::Call,
            How::Jump => Self::Jump,
            How::Table => Self::Table,
            How::Address => Self::Address,
            How::Follows => Self::Follows,
            How::Landing => Self::Exception,
        }
    }
}

/// A place of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What is here.
    pub step: Step,
    /// The object, as a path in the root.
    pub object: String,
    /// The function, if the object has its name.
    pub function: Option<String>,
    /// The address in the object of the instruction or of the data.
    pub address: u64,
    /// The offset in the function with a name.
    pub offset: u64,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.object.rsplit('/').next().unwrap_or_default();
        match &self.function {
            Some(function) if self.offset == 0 => write!(f, "{object}: {function}"),
            Some(function) => write!(f, "{object}: {function} +{:#x}", self.offset),
            None => write!(f, "{object}: {:#x}", self.address),
        }
    }
}

/// Makes chains.
pub(crate) struct Chains<'a> {
    space: &'a Space,
    reach: &'a Reach,
    names: Names,
}

impl<'a> Chains<'a> {
    pub(crate) fn new(space: &'a Space, reach: &'a Reach) -> Self {
        Self { space, reach, names: Names::default() }
    }

    /// An address as a link.
    pub(crate) fn link(&mut self, step: Step, address: u64) -> Link {
        let found = self.names.at(self.space, address);
        let (function, offset) = found.map_or((None, 0), |(name, offset)| (Some(name), offset));
        let (object, address) = match self.space.at(address) {
            Some((_, object)) => (object.elf.path.clone(), address - object.base),
            None => (String::new(), address),
        };
        Link { step, object, function, address, offset }
    }

    /// The number of functions from the beginning to one.
    pub(crate) fn length(&self, id: FunctionId) -> usize {
        let mut length = 0;
        let mut at = id;
        while let Some(from) =
            self.parent(at).and_then(|it| it.from).filter(|_| length < self.reach.functions.len())
        {
            (length, at) = (length + 1, from);
        }
        length
    }

    fn parent(&self, id: FunctionId) -> Option<Parent> {
        *self.reach.parents.get(id.0 as usize)?
    }

    /// The chain to the instruction that calls the kernel, over where its number was set.
    pub(crate) fn chain(&mut self, origin: &Origin, kernel: u64) -> Vec<Link> {
        let mut chain = Vec::new();
        let mut at = origin.from;
        while let Some(parent) = self.parent(at).filter(|_| chain.len() < self.reach.functions.len()) {
            chain.push(self.link(parent.how.into(), parent.at));
            match parent.from {
                Some(from) => at = from,
                None => break,
            }
        }
        chain.reverse();
        for (_, call) in &origin.calls {
            chain.push(self.link(Step::Call, *call));
        }
        chain.push(self.link(Step::Kernel, kernel));
        chain
    }
}
