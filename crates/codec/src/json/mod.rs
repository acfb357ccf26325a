//! JSON without a tree.
//!
//! - `scan.rs`: [`Scanner`], iterative (nesting costs no stack) and resumable (a large body is scanned in slices).
//! - `document.rs`: [`Document`], the top-level members as spans.
//! - `walk.rs`: [`members_of`] and [`items_of`], one level inside a text that was scanned.
//! - `splice.rs`: [`splice`], [`splice_shared`] and [`merge`], edits that leave every other byte alone.

mod document;
mod scan;
mod splice;
#[cfg(test)]
mod tests;
mod walk;

pub use document::{Document, Member, Root, text_of};
pub use scan::{JsonError, Scanner};
pub use splice::{Edit, merge, splice, splice_shared};
pub use walk::{items_of, members_of};
