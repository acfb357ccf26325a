use a6_resources::Change;

/// A resource that could not be taken into force; what was there before serves on.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// `routes/1`.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// Takes committed changes into force.
///
/// The Admin API's writer calls it after the store's commit and answers its client after it returns, so that a write
/// that was answered is a write in force.
pub trait Publisher: Send {
    /// Compiles the changes and puts the new snapshot in force for every request that is routed from now on.
    fn publish(&mut self, changes: &[Change], revision: u64) -> Vec<Rejection>;
}
