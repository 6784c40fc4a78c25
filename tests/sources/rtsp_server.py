"""An RTSP server of GStreamer on loopback: rtsp_server.py PORT FOLDER [USER PASSWORD].

It serves the images 00.png, 01.png, ... of the folder in a loop, as H.264 with 25 pictures per second, at /parts. Run
by the system's Python, which has the package `gi`.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

port, folder, *credentials = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f'( multifilesrc location="{folder}/%02d.png" loop=true caps="image/png,framerate=25/1" ! pngdec ! videoconvert '
    "! identity sync=true ! x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 pt=96 )"
)
factory.set_shared(True)
if credentials:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*credentials), token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.new_from_string("viewer,media.factory.access=true,media.factory.construct=true")
    )
server.get_mount_points().add_factory("/parts", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
