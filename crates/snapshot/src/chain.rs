use std::sync::Arc;

use crate::{Phases, Plugin};

/// The plugins of a route, highest priority first, and per phase which of them take part.
#[derive(Debug)]
pub struct Chain<P> {
    entries: Vec<ChainEntry<P>>,
    rewrite: Box<[u16]>,
    access: Box<[u16]>,
    before_proxy: Box<[u16]>,
    header_filter: Box<[u16]>,
    frame: Box<[u16]>,
    log: Box<[u16]>,
}

/// A plugin in a chain.
#[derive(Debug)]
pub struct ChainEntry<P> {
    /// Its name.
    pub name: &'static str,
    /// Its priority.
    pub priority: i32,
    /// Its compiled configuration.
    pub plugin: Arc<P>,
}

impl<P: Plugin> Chain<P> {
    /// Orders plugins by priority; equal priorities by name.
    pub fn new(mut entries: Vec<ChainEntry<P>>) -> Self {
        entries.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(b.name)));
        let in_phase = |wanted: fn(Phases) -> bool| {
            (0u16..)
                .zip(&entries)
                .filter(|(_, entry)| wanted(entry.plugin.phases()))
                .map(|(at, _)| at)
                .collect()
        };
        Self {
            rewrite: in_phase(|phases| phases.rewrite),
            access: in_phase(|phases| phases.access),
            before_proxy: in_phase(|phases| phases.before_proxy),
            header_filter: in_phase(|phases| phases.header_filter),
            frame: in_phase(|phases| phases.frame),
            log: in_phase(|phases| phases.log),
            entries,
        }
    }

    /// All plugins.
    pub fn entries(&self) -> &[ChainEntry<P>] {
        &self.entries
    }

    /// The plugin of that name.
    pub fn plugin(&self, name: &str) -> Option<&Arc<P>> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| &entry.plugin)
    }

    fn run<'c>(&'c self, places: &'c [u16]) -> impl Iterator<Item = &'c P> {
        places.iter().map(|place| &*self.entries[usize::from(*place)].plugin)
    }

    /// Those with a rewrite phase, in order.
    pub fn rewrite(&self) -> impl Iterator<Item = &P> {
        self.run(&self.rewrite)
    }

    /// Those with an access phase, in order.
    pub fn access(&self) -> impl Iterator<Item = &P> {
        self.run(&self.access)
    }

    /// Those with a before_proxy phase, in order.
    pub fn before_proxy(&self) -> impl Iterator<Item = &P> {
        self.run(&self.before_proxy)
    }

    /// Those with a header_filter phase, in order.
    pub fn header_filter(&self) -> impl Iterator<Item = &P> {
        self.run(&self.header_filter)
    }

    /// Those that look at the body, in order; counted from `from`.
    pub fn frame(&self, from: usize) -> impl Iterator<Item = &P> {
        self.run(self.frame.get(from..).unwrap_or_default())
    }

    /// Those with a log phase, in order.
    pub fn log(&self) -> impl Iterator<Item = &P> {
        self.run(&self.log)
    }
}
