//! Volumes: what a group asks for and where its tasks see it.

use crate::time::Nanos;

wire! {
    /// A volume that a group asks for.
    pub struct VolumeRequest {
        "Name" name: String,
        /// `host` or `csi`.
        "Type" volume_type: String,
        "Source" source: String,
        "ReadOnly" read_only: bool,
        "Sticky" sticky: bool,
        "AccessMode" access_mode: String,
        "AttachmentMode" attachment_mode: String,
        "MountOptions" mount_options: Option<CsiMountOptions>,
        "PerAlloc" per_alloc: bool,
    }

    /// How a CSI volume is mounted.
    pub struct CsiMountOptions {
        "FSType" fs_type: String,
        "MountFlags" mount_flags: Vec<String>,
    }

    /// Where a task sees a volume of its group.
    pub struct VolumeMount {
        "Volume" volume: String,
        "Destination" destination: String,
        "ReadOnly" read_only: Option<bool>,
        "PropagationMode" propagation_mode: String,
        "SELinuxLabel" selinux_label: String,
    }

    /// Makes a task a CSI plugin.
    pub struct TaskCsiPluginConfig {
        "ID" id: String,
        "Type" plugin_type: String,
        "MountDir" mount_dir: String,
        "StagePublishBaseDir" stage_publish_base_dir: String,
        "HealthTimeout" health_timeout: Nanos,
    }
}
