//! Sources that are folders into which files are dropped.

/// A drop folder.
#[derive(Debug, Clone)]
pub struct FileSource {
    /// The folder.
    pub folder: String,
}
