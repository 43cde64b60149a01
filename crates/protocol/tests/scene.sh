#!/bin/sh
# Volumes, mounts and containers of every kind on a real Docker engine: what the fixtures were recorded from, and what the
# engine test makes again. DOCKER_HOST names the engine, $1 a tar with a static busybox, $2 a directory for bind mounts,
# $3, where there is one, a registry that gives images a digest.
set -eu
tar=$1
srv=$2
registry=${3:-}
image=felhom-scene:1
compose() { # project, service: the labels that compose sets
  echo "--label com.docker.compose.project=$1 --label com.docker.compose.service=$2 --label com.docker.compose.oneoff=False"
}
made() { # compose's labels of a volume
  echo "--label com.docker.compose.project=$1 --label com.docker.compose.volume=$2"
}

mkdir -p "$srv/paperless/media/inner" "$srv/odd ones/ä b" "$srv/nested/inner" "$srv/plain"
touch "$srv/settings.ini"
docker import -c 'LABEL org.example.image=scene' -c 'VOLUME /anonymous' "$tar" $image >/dev/null

# Volumes: named, labelled, the local driver's options, odd names, one that nobody uses.
docker volume create $(made paperless data) paperless_data >/dev/null
docker volume create $(made paperless db) paperless_db >/dev/null
docker volume create --label felhom.class=bulk --label api_token=fixture-t0ken bulk.media >/dev/null
docker volume create unused >/dev/null
docker volume create a-Very_odd.NAME-0 >/dev/null
docker volume create -o type=none -o o=bind -o device="$srv/plain" bound >/dev/null
docker volume create -o type=none -o o=bind,ro -o device="$srv/odd ones/ä b" bound-ro >/dev/null
docker volume create -o type=none -o o=bind -o device=/mnt/mp2/media on-mp2 >/dev/null
docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=1000 in-memory >/dev/null
docker volume create -o type=nfs -o o=addr=192.0.2.7,rw,nfsvers=4 -o device=:/export/media on-nfs >/dev/null
docker volume create -o type=cifs -o o=username=felhom,password=fixture-passw0rd,vers=3.0 -o device=//192.0.2.7/share on-cifs >/dev/null

# Containers: running, stopped, never started; every restart policy; every kind of mount.
docker run -d --name paperless-db-1 --network none --restart unless-stopped $(compose paperless db) \
  -v paperless_db:/var/lib/postgresql/data $image sleep 86400 >/dev/null
docker run -d --name paperless-webserver-1 --network none --restart always $(compose paperless webserver) \
  -v paperless_data:/usr/src/paperless/data -v "$srv/paperless/media:/usr/src/paperless/media" \
  -v "$srv/paperless/media/inner:/usr/src/paperless/media/inner:ro" $image sleep 86400 >/dev/null
docker run -d --name nested --network none --restart on-failure:3 \
  --mount type=volume,src=a-Very_odd.NAME-0,dst=/data --mount type=volume,src=bulk.media,dst=/data/media,readonly \
  --mount type=tmpfs,dst=/data/cache,tmpfs-size=1048576 --tmpfs /run:rw,size=1m \
  -v "$srv/settings.ini:/etc/settings.ini:ro" $image sleep 86400 >/dev/null
docker run -d --name options --network none -v bound:/bound -v bound-ro:/bound-ro -v in-memory:/memory \
  $image sleep 86400 >/dev/null
docker run --name ended --network none -v paperless_data:/from:ro $image true
docker run -d --name paused --network none --volumes-from paperless-db-1:ro $image sleep 86400 >/dev/null
docker pause paused >/dev/null
# Never started: what these volumes are made from is not there.
docker create --name remote --network none -v on-nfs:/nfs -v on-cifs:/cifs -v on-mp2:/mp2 $image true >/dev/null
# A bind mount of the inside of a volume.
root=$(docker info --format '{{.DockerRootDir}}')
docker create --name inside --network none -v "$root/volumes/paperless_data/_data/consume:/consume" $image true >/dev/null
docker create --name docker-in-docker --network none -v /var/run/docker.sock:/var/run/docker.sock \
  -v "$srv/odd ones/ä b:/odd" --label traefik.http.middlewares.a.basicauth.users='felhom:$apr1$fixture-h4sh' \
  $image true >/dev/null

if [ -n "$registry" ]; then
  docker tag $image "$registry/felhom/scene:1"
  docker push -q "$registry/felhom/scene:1" >/dev/null
  docker create --name pulled --network none "$registry/felhom/scene:1" true >/dev/null
fi

# Something to count.
docker exec paperless-db-1 /bin/sh -c 'head -c 1500000 /dev/zero >/var/lib/postgresql/data/base'
docker exec nested /bin/sh -c 'mkdir -p /data/inside && echo x >/data/inside/file'
