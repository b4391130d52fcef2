//! Volumes, their mounts, and tasks that are storage plugins.

use super::{EMPTY, Kind, Schema, attr, one};

pub(super) static VOLUME: Schema = Schema {
    attrs: &[
        attr("type", "Type", Kind::Text),
        attr("source", "Source", Kind::Text),
        attr("read_only", "ReadOnly", Kind::Bool),
        attr("sticky", "Sticky", Kind::Bool),
        attr("per_alloc", "PerAlloc", Kind::Bool),
        attr("access_mode", "AccessMode", Kind::Text),
        attr("attachment_mode", "AttachmentMode", Kind::Text),
    ],
    children: &[one("mount_options", "MountOptions", &MOUNT_OPTIONS)],
    ..EMPTY
};

static MOUNT_OPTIONS: Schema =
    Schema { attrs: &[attr("fs_type", "FSType", Kind::Text), attr("mount_flags", "MountFlags", Kind::Texts)], ..EMPTY };

pub(super) static VOLUME_MOUNT: Schema = Schema {
    attrs: &[
        attr("volume", "Volume", Kind::Text),
        attr("destination", "Destination", Kind::Text),
        attr("read_only", "ReadOnly", Kind::Bool),
        attr("propagation_mode", "PropagationMode", Kind::Text),
        attr("selinux_label", "SELinuxLabel", Kind::Text),
    ],
    ..EMPTY
};

pub(super) static CSI_PLUGIN: Schema = Schema {
    attrs: &[
        attr("id", "ID", Kind::Text),
        attr("type", "Type", Kind::Text),
        attr("mount_dir", "MountDir", Kind::Text),
        attr("stage_publish_base_dir", "StagePublishBaseDir", Kind::Text),
        attr("health_timeout", "HealthTimeout", Kind::Duration),
    ],
    ..EMPTY
};
