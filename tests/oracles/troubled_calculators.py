"""ASE calculators that misbehave, for processes of their own."""

import os
import time

from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT


class Printing(EMT):
    """Prints, as many do, onto what carries the answers."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        print("iteration 1 converged")
        super().calculate(atoms, properties, system_changes)


class Dying(EMT):
    """Ends its process on gold."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if 79 in atoms.numbers:
            os._exit(3)
        super().calculate(atoms, properties, system_changes)


class Hanging(EMT):
    """Never answers for gold."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if 79 in atoms.numbers:
            time.sleep(600)
        super().calculate(atoms, properties, system_changes)


class Slow(EMT):
    """Takes its time."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        time.sleep(0.05)
        super().calculate(atoms, properties, system_changes)
