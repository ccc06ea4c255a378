"""The demos: a real scan of four coils, and a brain whose acquisition is simulated."""

from uqrestore.demo.brain import run_brain_demo
from uqrestore.demo.head import run_head_demo
from uqrestore.demo.run import DemoResult, demo_files

__all__ = ["DemoResult", "demo_files", "run_brain_demo", "run_head_demo"]
