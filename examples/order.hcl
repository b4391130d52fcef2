# A group whose tasks have an order. Run it with: floe job run order.hcl
# What happens when: docs/guide/order.md
job "order" {
  type        = "service"
  datacenters = ["*"]

  update {
    min_healthy_time = "1s"
  }

  group "pages" {
    # Time for clients to go elsewhere, between the moment when the service is no longer listed and the first signal.
    shutdown_delay = "1s"

    network {
      mode = "bridge"
      port "http" {
        to = 8080
      }
    }

    service {
      name     = "pages"
      provider = "nomad"
      port     = "http"
    }

    # Runs first, to its end. If it fails, nothing else starts.
    task "prepare" {
      driver = "exec"
      lifecycle {
        hook = "prestart"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "mkdir -p /alloc/data/www && echo prepared >/alloc/data/www/index.html"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }

    # Runs beside the main tasks: from before their start until after their end.
    task "store" {
      driver = "exec"
      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
      config {
        command = "/usr/bin/busybox"
        args    = ["httpd", "-f", "-p", "127.0.0.1:9000", "-h", "/alloc/data/www"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }

    # The main task. It may count on a store that has been running for a while, and not only for a moment.
    task "web" {
      driver = "exec"
      leader = true
      after {
        task  = "store"
        state = "healthy"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "busybox wget -qO /local/index.html http://127.0.0.1:9000/ && exec busybox httpd -f -p 8080 -h /local"]
      }
      kill_signal = "SIGTERM"
      resources {
        cpu    = 50
        memory = 32
      }
    }

    # Runs last, once everything else has ended, however it ended.
    task "tidy" {
      driver = "exec"
      lifecycle {
        hook = "poststop"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "rm -r /alloc/data/www && echo tidied"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
