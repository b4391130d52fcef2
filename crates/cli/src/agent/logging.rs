//! What the agent writes about itself, on standard error.

use anyhow::bail;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging: `level` for floe's own parts, warnings for libraries. `FLOE_LOG` (a filter as `floe_client=debug`) wins.
pub(crate) fn start_logging(level: &str, json: bool) -> anyhow::Result<()> {
    let level = level.to_ascii_lowercase();
    if !["error", "warn", "info", "debug", "trace"].contains(&level.as_str()) {
        bail!("log level {level:?} is none of error, warn, info, debug, trace");
    }
    let parts = [
        "floe",
        "floe_client",
        "floe_server",
        "floe_consensus",
        "floe_store",
        "floe_runtime",
        "floe_network",
        "floe_scheduler",
        "floe_rpc",
    ];
    let library = if level == "error" { "error" } else { "warn" };
    let own = parts.map(|p| format!("{p}={level}")).join(",");
    // openraft speaks of every step of an election as of a warning, and of a call that comes while it stops as of an error; what matters of it
    // floe says itself, a failure of it as the reason why the agent had to stop.
    let default = format!("{library},openraft=off,{own}");
    let filter = EnvFilter::try_new(std::env::var("FLOE_LOG").unwrap_or(default))?;
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).init();
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false)).init();
    }
    Ok(())
}
