"""Keeps what stock clients produce: a relay between them and a broker, which writes each record batch to a file.

  python capture.py FROM TO FOLDER LABEL      FROM and TO are host:port; the broker must advertise FROM

The batches under protocols/kafka/src/real_batches were made so, by the suites of this folder's siblings.
"""

import hashlib, os, socket, struct, sys, threading

from kafka.record.util import calc_crc32c

SMALL = 4096  # larger ones say nothing more


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def batches(frame):
    """Whatever is a batch by its own length, magic number and checksum, wherever it lies in the request."""
    for at in range(len(frame) - 61):
        if frame[at + 16] != 2:
            continue
        length, = struct.unpack_from(">i", frame, at + 8)
        end = at + 12 + length
        if 49 <= length and end <= len(frame):
            crc, = struct.unpack_from(">I", frame, at + 17)
            if calc_crc32c(bytes(frame[at + 21:end])) == crc:
                yield bytes(frame[at:end])


def keep(frame, folder, label):
    for batch in batches(frame):
        if len(batch) <= SMALL:
            codec = ["none", "gzip", "snappy", "lz4", "zstd"][batch[22] & 7]
            # One for each client, codec and number of records: times and ids differ, the layout does not.
            count, = struct.unpack_from(">i", batch, 57)
            path = os.path.join(folder, f"{label}-{codec}-{count}.batch")
            if not os.path.exists(path):
                with open(path, "wb") as out:
                    out.write(batch)


def relay(source, sink, watch=None):
    buffered = bytearray()
    try:
        while data := source.recv(65536):
            sink.sendall(data)
            if watch is None:
                continue
            buffered += data
            while len(buffered) >= 6:
                size, key = struct.unpack_from(">ih", buffered)
                if len(buffered) < 4 + size:
                    break
                if key == 0:
                    watch(buffered[4:4 + size])
                del buffered[:4 + size]
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main(here, there, folder, label):
    listener = socket.create_server(address(here))
    while True:
        client, _ = listener.accept()
        broker = socket.create_connection(address(there))
        watch = lambda frame: keep(frame, folder, label)
        threading.Thread(target=relay, args=(client, broker, watch), daemon=True).start()
        threading.Thread(target=relay, args=(broker, client), daemon=True).start()


main(*sys.argv[1:])
