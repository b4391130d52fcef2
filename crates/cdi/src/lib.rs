//! The Container Device Interface (versions 0.3.0 to 1.1.0): what vendors' tools write about the devices of a machine, and what a container must get
//! so that it can use one of them.
//!
//! ```text
//! files, by folder  --read-->  Specification  --Registry::of-->  devices with what they need, and what is wrong with the rest
//! ```
//!
//! Nothing here opens a file. A file that is broken, and a device that asks for something that floe does not do, are named and left out: what one
//! vendor's tool wrote must not keep the node from its other devices.
#![forbid(unsafe_code)]

mod check;
mod edits;
mod registry;
mod specification;

pub use edits::{DeviceNode, Edits, Hook, Mount, NodeType};
pub use registry::{Device, Folder, Kind, MAX_DEVICES, Registry};
pub use specification::{MAX_FILE_BYTES, MAX_LIST, MAX_TEXT_BYTES, Specification, read};
