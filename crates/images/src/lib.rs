//! Images of containers: found by their names, pulled from registries, folders and archives, unpacked once, and kept while somebody uses them.
//!
//! What decides is pure and does no I/O: names ([`reference`]), which image of several ([`manifest`]), what a container gets ([`config`]),
//! what an entry of a layer means ([`layer`]), who must prove what to whom ([`challenge`]), and what goes ([`collect`]). What does is beside it:
//!
//! | task | in | out |
//! |---|---|---|
//! | a pull, one for all who wait for the same image ([`Images::acquire`]) | a name, credentials | the image's configuration and layers |
//! | a writer beside each download, on a blocking thread | pieces of a layer | a file with the digest that was promised |
//! | an unpacker beside each pull, on a blocking thread | an archive | a folder that overlayfs can have as a lower layer |
//! | [`Images::collect_garbage`], as often as its owner likes | time | folders of images that nobody has used for a while, removed |
//!
//! Nothing that is pulled is believed: sizes have bounds, digests are computed while reading, and no path of a layer leads out of its folder. A
//! layer is seen only when it is whole and on disk.
#![forbid(unsafe_code)]

mod archive;
mod blob;
mod challenge;
mod collect;
mod config;
mod decompress;
mod digest;
mod error;
mod fetch;
mod layer;
mod layout;
mod limits;
mod manifest;
mod place;
mod pull;
mod reference;
mod registry;
mod settings;
mod store;
mod tarball;
mod unpack;
mod work;

pub use collect::Keep;
pub use config::{Command, ImageConfig, Overrides};
pub use digest::{BadDigest, Digest};
pub use error::ImageError;
pub use limits::*;
pub use manifest::Platform;
pub use pull::{Image, Images, Progress, Pull};
pub use reference::{BadReference, Reference, Source, Version};
pub use settings::{Credentials, RegistrySettings, Settings};
