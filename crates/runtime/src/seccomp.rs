//! The system calls that an `exec` task may make. Everything else fails with EPERM, so that a call added to the kernel tomorrow is closed
//! until somebody decides about it.
//!
//! Closed on purpose: mounting and namespaces (`mount`, `unshare`, `setns`, `pivot_root`, the new mount calls, and the namespace flags of
//! `clone`), loading code into the kernel (modules, `bpf`, `kexec_*`), the machine (`reboot`, `swapon`, clocks, `syslog`, ports), the keyring,
//! `perf_event_open`, `userfaultfd`, `io_uring_*` (it bypasses this very filter), `ptrace` and reading other processes' memory, and
//! file handles (`open_by_handle_at` walks out of a container).

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall,
    LinuxSyscallBuilder,
};

/// Flags of `clone` that make a new namespace.
const NAMESPACE_FLAGS: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Files and directories.
const FILES: &str = "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 \
    fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock \
    fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 \
    getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listxattr listxattrat \
    llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat newfstatat _newselect open openat openat2 pread64 \
    preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile \
    sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 \
    umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev cachestat \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self";

/// Memory.
const MEMORY: &str = "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock \
    munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease remap_file_pages";

/// Processes, threads and signals.
const PROCESSES: &str = "alarm arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list \
    get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid \
    getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set \
    kill modify_ldt nanosleep pause pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max \
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list \
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid \
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 \
    sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend sysinfo tgkill time times tkill ugetrlimit uname vfork wait4 \
    waitid waitpid";

/// Clocks that are read and timers.
const TIME: &str = "clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 gettimeofday \
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime \
    timerfd_gettime64 timerfd_settime timerfd_settime64";

/// Waiting, pipes, sockets and System V IPC (which has a namespace of its own here).
const COMMUNICATION: &str = "accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
    epoll_wait_old eventfd eventfd2 getpeername getsockname getsockopt io_cancel io_destroy io_getevents io_pgetevents \
    io_pgetevents_time64 io_setup io_submit ipc listen mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 recv recvfrom \
    recvmmsg recvmmsg_time64 recvmsg select semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat \
    shmctl shmdt shmget shutdown socketcall socketpair";

/// The profile.
///
/// # Errors
/// Never for a profile that builds once; the builders return a result.
pub(crate) fn default_profile() -> Result<LinuxSeccomp, OciSpecError> {
    let names: Vec<String> =
        [FILES, MEMORY, PROCESSES, TIME, COMMUNICATION].iter().flat_map(|list| list.split_ascii_whitespace()).map(str::to_owned).collect();
    let mut rules = vec![allow(names).build()?, clone_without_namespaces()?, clone3_not_there()?];
    rules.extend(sockets_except_vsock()?);
    rules.extend(personalities()?);
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(libc::EPERM.unsigned_abs())
        .architectures(architectures())
        .syscalls(rules)
        .build()
}

#[cfg(target_arch = "x86_64")]
fn architectures() -> Vec<Arch> {
    vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86]
}

#[cfg(not(target_arch = "x86_64"))]
fn architectures() -> Vec<Arch> {
    vec![Arch::ScmpArchNative]
}

fn allow(names: Vec<String>) -> LinuxSyscallBuilder {
    LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow)
}

/// `clone` is how threads and processes start; only its namespace flags are closed.
///
/// libcontainer 0.7 hands `value` to libseccomp as the number to compare with and `value_two` as the mask, the opposite of what the OCI
/// specification says, so they stand the other way round here. A test calls `clone` with such a flag and notices when that changes.
fn clone_without_namespaces() -> Result<LinuxSyscall, OciSpecError> {
    let no_namespace_flag = LinuxSeccompArgBuilder::default()
        .index(0usize)
        .value(0u64)
        .value_two(NAMESPACE_FLAGS)
        .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
        .build()?;
    allow(vec!["clone".to_owned()]).args(vec![no_namespace_flag]).build()
}

/// A filter cannot look into the structure that `clone3` takes. "Not implemented" makes the C library use `clone`.
fn clone3_not_there() -> Result<LinuxSyscall, OciSpecError> {
    LinuxSyscallBuilder::default()
        .names(vec!["clone3".to_owned()])
        .action(LinuxSeccompAction::ScmpActErrno)
        .errno_ret(libc::ENOSYS.unsigned_abs())
        .build()
}

/// Sockets of every family but vsock, which reaches a hypervisor past the network namespace.
fn sockets_except_vsock() -> Result<Vec<LinuxSyscall>, OciSpecError> {
    let vsock = u64::from(libc::AF_VSOCK.unsigned_abs());
    [LinuxSeccompOperator::ScmpCmpLt, LinuxSeccompOperator::ScmpCmpGt]
        .into_iter()
        .map(|op| {
            let family = LinuxSeccompArgBuilder::default().index(0usize).value(vsock).op(op).build()?;
            allow(vec!["socket".to_owned()]).args(vec![family]).build()
        })
        .collect()
}

/// The execution domains that ordinary programs ask for: plain, 32-bit, without address randomisation for 32-bit, and "which one is it".
fn personalities() -> Result<Vec<LinuxSyscall>, OciSpecError> {
    [0u64, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff]
        .into_iter()
        .map(|value| {
            let domain = LinuxSeccompArgBuilder::default().index(0usize).value(value).op(LinuxSeccompOperator::ScmpCmpEq).build()?;
            allow(vec!["personality".to_owned()]).args(vec![domain]).build()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn allowed_without_condition() -> Vec<String> {
        let profile = default_profile().unwrap();
        let rules = profile.syscalls().clone().unwrap();
        rules
            .iter()
            .filter(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow && rule.args().is_none())
            .flat_map(|rule| rule.names().clone())
            .collect()
    }

    #[test]
    fn dangerous_calls_are_not_on_the_list() {
        let allowed = allowed_without_condition();
        for name in "mount umount umount2 unshare setns pivot_root chroot open_tree move_mount fsopen fsmount fsconfig mount_setattr keyctl add_key \
            request_key bpf perf_event_open ptrace process_vm_readv process_vm_writev pidfd_getfd kexec_load kexec_file_load init_module \
            finit_module delete_module swapon swapoff reboot open_by_handle_at name_to_handle_at userfaultfd io_uring_setup io_uring_enter \
            io_uring_register syslog settimeofday clock_settime clock_adjtime adjtimex iopl ioperm acct quotactl vhangup sethostname \
            setdomainname lookup_dcookie nfsservctl kcmp clone clone3 socket personality"
            .split_ascii_whitespace()
        {
            assert!(!allowed.iter().any(|have| have == name), "{name} must not be allowed");
        }
    }

    #[test]
    fn no_call_is_listed_twice() {
        let mut allowed = allowed_without_condition();
        let count = allowed.len();
        allowed.sort();
        allowed.dedup();
        assert_eq!(allowed.len(), count);
    }
}
