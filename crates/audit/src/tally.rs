//! The counts of refused calls.

use std::collections::BTreeMap;

use crate::call::Call;
use crate::cgroup::ContainerId;
use crate::log_link::ContainerName;
use crate::record::Record;

/// How many different calls of all containers are counted separately.
pub const MAX_CALLS: usize = 1000;

/// How many different calls of one container are counted separately, so that no container takes the room of the others:
/// a program may make calls of any number.
pub const MAX_CALLS_OF_CONTAINER: usize = 64;

/// How often one call was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// How often.
    pub count: u64,
    /// The first time, in milliseconds since 1970.
    pub first: u64,
    /// The last time.
    pub last: u64,
    /// The program that made it last.
    pub program: String,
}

/// The calls of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// The container's names; `None` until they are known.
    pub name: Option<ContainerName>,
    /// Each call that is counted separately.
    pub calls: BTreeMap<Call, Count>,
    /// How often other calls were made, once there was no room for more.
    pub further: u64,
    /// The last time of any call.
    pub last: u64,
}

impl Container {
    /// How often all its calls were made.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.calls.values().map(|it| it.count).fold(self.further, u64::saturating_add)
    }
}

/// The counts of all containers of a node, in bounded memory.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    containers: BTreeMap<ContainerId, Container>,
    /// How many calls are counted separately, in all containers.
    calls: usize,
    outside: u64,
    unknown: u64,
    forgotten: u64,
    revision: u64,
}

impl Tally {
    /// The counts of an earlier run: of containers with their names, and of what had none. What exceeds the bounds is
    /// forgotten.
    #[must_use]
    pub fn restored(
        containers: impl IntoIterator<Item = (ContainerId, Container)>,
        outside: u64,
        unknown: u64,
        forgotten: u64,
    ) -> Self {
        let mut tally = Self { outside, unknown, forgotten, ..Self::default() };
        for (id, container) in containers {
            let fits = container.calls.len() <= MAX_CALLS_OF_CONTAINER
                && tally.calls + container.calls.len() <= MAX_CALLS
                && tally.containers.len() < MAX_CALLS
                && !tally.containers.contains_key(&id);
            if fits {
                tally.calls += container.calls.len();
                tally.containers.insert(id, container);
            } else {
                tally.forgotten = tally.forgotten.saturating_add(container.total());
            }
        }
        tally
    }

    /// A process in this container made the call of the record.
    pub fn count(&mut self, id: ContainerId, record: Record) {
        self.revision += 1;
        let known = self.containers.get(&id);
        let is_counted = known.is_some_and(|it| it.calls.contains_key(&record.call));
        let has_room = known.is_none_or(|it| it.calls.len() < MAX_CALLS_OF_CONTAINER);
        while !is_counted && has_room && self.calls >= MAX_CALLS && self.forget_oldest(id) {}
        let fits = is_counted || has_room && self.calls < MAX_CALLS;
        let container = self.containers.entry(id).or_default();
        container.last = container.last.max(record.time);
        if !fits {
            container.further = container.further.saturating_add(1);
            return;
        }
        let Record { time, program, .. } = record;
        let count = container.calls.entry(record.call).or_insert_with(|| {
            self.calls += 1;
            Count { count: 0, first: time, last: time, program: String::new() }
        });
        count.count = count.count.saturating_add(1);
        // Records come in almost the order of their times.
        count.first = count.first.min(time);
        if time >= count.last {
            (count.last, count.program) = (time, program);
        }
    }

    /// A process outside of all pods made a call.
    pub fn outside(&mut self) {
        self.revision += 1;
        self.outside = self.outside.saturating_add(1);
    }

    /// Somebody made a call: the process was gone before its container could be read, or the record cannot be read.
    pub fn unknown(&mut self) {
        self.revision += 1;
        self.unknown = self.unknown.saturating_add(1);
    }

    /// Whether some container has no name yet.
    #[must_use]
    pub fn wants_names(&self) -> bool {
        self.containers.values().any(|container| container.name.is_none())
    }

    /// The container has this name. Containers that were not counted are left out.
    pub fn name(&mut self, id: ContainerId, name: ContainerName) {
        if let Some(container) = self.containers.get_mut(&id)
            && container.name.is_none()
        {
            container.name = Some(name);
            self.revision += 1;
        }
    }

    /// Counts the calls of containers as unknown that began with them before `time` and still have no name, and returns
    /// these. If one is named later, what it does from then on is its own.
    pub fn give_up_names_before(&mut self, time: u64) -> Vec<(ContainerId, Container)> {
        let begun = |container: &Container| {
            container.calls.values().map(|it| it.first).min().unwrap_or(container.last)
        };
        let is_given_up = |_: &ContainerId, it: &mut Container| it.name.is_none() && begun(it) < time;
        let nameless: Vec<_> = self.containers.extract_if(.., is_given_up).collect();
        for (_, container) in &nameless {
            self.calls -= container.calls.len();
            self.unknown = self.unknown.saturating_add(container.total());
            self.revision += 1;
        }
        nameless
    }

    /// Forgets the calls that were last made before `time`, and containers without others. What is forgotten in this way
    /// is in no count any more: it is old.
    pub fn forget_before(&mut self, time: u64) {
        if self.containers.values().all(|container| container.calls.values().all(|it| it.last >= time)) {
            return;
        }
        for container in self.containers.values_mut() {
            container.calls.retain(|_, it| it.last >= time);
        }
        self.containers.retain(|_, container| !container.calls.is_empty() || container.last >= time);
        self.calls = self.containers.values().map(|container| container.calls.len()).sum();
        self.revision += 1;
    }

    /// The containers that have a name.
    pub fn named(&self) -> impl Iterator<Item = (ContainerId, &ContainerName, &Container)> {
        self.containers.iter().filter_map(|(id, it)| Some((*id, it.name.as_ref()?, it)))
    }

    /// How many calls were made outside of all pods.
    #[must_use]
    pub fn outside_count(&self) -> u64 {
        self.outside
    }

    /// How many calls nobody is known for: the process was gone, or its container has no name (yet).
    #[must_use]
    pub fn unknown_count(&self) -> u64 {
        self.unknown.saturating_add(self.unnamed_count())
    }

    /// How many of these are of containers that may still be named.
    #[must_use]
    pub fn unnamed_count(&self) -> u64 {
        let unnamed = self.containers.values().filter(|container| container.name.is_none());
        unnamed.map(Container::total).fold(0, u64::saturating_add)
    }

    /// How many calls were forgotten because others took their room.
    #[must_use]
    pub fn forgotten_count(&self) -> u64 {
        self.forgotten
    }

    /// A number that is another one after each change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Forgets the container whose latest call is the oldest. Returns whether there was another one than `id`.
    fn forget_oldest(&mut self, id: ContainerId) -> bool {
        let others = self.containers.iter().filter(|(other, _)| **other != id);
        let Some(oldest) = others.min_by_key(|(_, container)| container.last).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(container) = self.containers.remove(&oldest) {
            self.calls -= container.calls.len();
            self.forgotten = self.forgotten.saturating_add(container.total());
        }
        true
    }
}
