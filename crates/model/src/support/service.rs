//! What floe does not act on in a service.

use crate::{
    report::Report,
    service::{PROVIDER_NATIVE, Service},
};

pub(super) fn service(r: &mut Report, s: &Service) {
    let Service {
        // Acted on.
        name: _,
        tags: _,
        port_label: _,
        address: _,
        task_name: _,
        // Looked at.
        canary_tags,
        enable_tag_override,
        address_mode,
        checks,
        check_restart,
        connect,
        meta,
        canary_meta,
        tagged_addresses,
        on_update,
        identity,
        weights,
        provider,
        cluster,
        kind,
    } = s;
    let own = "services go to the cluster's own registry";
    r.refuse_if(provider != PROVIDER_NATIVE, &format!("provider {}", crate::report::quoted(provider)), "use \"nomad\"");
    let known_mode = matches!(address_mode.as_str(), "" | "auto" | "host" | "alloc");
    r.refuse_if(!known_mode, &format!("address_mode {}", crate::report::quoted(address_mode)), "use \"auto\", \"host\" or \"alloc\"");
    r.refuse_if(!checks.is_empty(), "check", "an instance is listed while its tasks run; remove it");
    r.refuse_if(check_restart.is_some(), "check_restart", "there are no checks; remove it");
    r.refuse_if(connect.is_some(), "connect", "remove it");
    r.refuse_if(!canary_tags.is_empty(), "canary_tags", "there are no canaries; use tags");
    r.refuse_if(!canary_meta.is_empty(), "canary_meta", "there are no canaries; remove it");
    r.refuse_if(!meta.is_empty(), "meta", "registrations carry none; use tags");
    r.refuse_if(*enable_tag_override, "enable_tag_override", own);
    r.refuse_if(!tagged_addresses.is_empty(), "tagged_addresses", own);
    r.refuse_if(weights.is_some(), "weights", own);
    r.refuse_if(identity.is_some(), "identity", own);
    r.refuse_if(!kind.is_empty(), "kind", own);
    r.refuse_if(!matches!(cluster.as_str(), "" | "default"), "cluster", own);
    let waits = matches!(on_update.as_str(), "" | "require_healthy");
    r.refuse_if(!waits, &format!("on_update {}", crate::report::quoted(on_update)), "use \"require_healthy\" or remove it");
}
