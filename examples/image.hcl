# A web server from a registry, on a port of every node that runs it. Run it with: floe job run image.hcl
job "image" {
  type        = "service"
  datacenters = ["*"]

  group "web" {
    network {
      mode = "bridge"
      port "http" {
        to = 80
      }
    }

    service {
      name     = "image"
      provider = "nomad"
      port     = "http"
    }

    task "nginx" {
      driver = "docker"

      config {
        image = "docker.io/library/nginx:1.29"
        ports = ["http"]
      }

      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
