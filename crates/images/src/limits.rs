//! The bounds of everything that comes from outside.

/// The longest name of an image, in bytes.
pub const MAX_REFERENCE_BYTES: usize = 4096;
/// The largest manifest or index, in bytes: what registries themselves take.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// The largest configuration of an image, in bytes.
pub const MAX_CONFIG_BYTES: usize = 8 << 20;
/// The most layers of an image.
pub const MAX_LAYERS: usize = 127;
/// The largest layer as it is transferred, in bytes.
pub const MAX_LAYER_BYTES: u64 = 32 << 30;
/// What all layers of an image may come to when they are unpacked, in bytes. An entry counts as 512 bytes at least.
pub const MAX_UNPACKED_BYTES: u64 = 64 << 30;
/// The most entries of a layer.
pub const MAX_ENTRIES: u64 = 1_000_000;
/// The longest path in a layer, in bytes.
pub const MAX_PATH_BYTES: usize = 4095;
/// The longest name of a file, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// The largest header of an entry that extends another (long names, attributes), in bytes.
pub const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// The largest id of a user or group that exists in containers; what has a larger one belongs to nobody.
pub const MAX_ID: u64 = 65_535;
/// The largest answer of a service for tokens, in bytes.
pub const MAX_TOKEN_BYTES: usize = 1 << 20;
