//! Names of functions, as far as files have them.

use std::collections::BTreeMap;

use crate::elf::{Symbol, SymbolKind};
use crate::space::{ObjectId, Space};

/// The names of all objects that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The functions of an object by address.
    tables: BTreeMap<ObjectId, Vec<Symbol>>,
}

impl Names {
    /// The name of the function with an address, and the offset in it.
    pub(crate) fn at(&mut self, space: &Space, address: u64) -> Option<(String, u64)> {
        let (id, object) = space.at(address)?;
        let elf = &object.elf;
        let table = self.tables.entry(id).or_insert_with(|| {
            let all = elf.names.all().iter().chain(elf.symbols.all());
            let is_function = |it: &&Symbol| it.is_defined && it.kind != SymbolKind::Other;
            let mut table: Vec<_> = all.filter(is_function).copied().collect();
            // Of several names the shortest: versions and internal prefixes are longer.
            table.sort_by_key(|it| (it.address, it.name(elf).len(), it.name(elf).to_vec()));
            table.dedup_by_key(|it| it.address);
            table
        });
        let offset = address - object.base;
        let after = table.partition_point(|it| it.address <= offset);
        let found = table[..after].last()?;
        let into = offset - found.address;
        let is_inside = into < found.size.max(1);
        is_inside.then(|| (String::from_utf8_lossy(found.name(elf)).into_owned(), into))
    }
}
