"""numba's compiler, cut down to what the kernel needs: it takes less than half of the usual time.

numba optimises every function on its own, with all that it calls, and turns each into machine code. But only two
functions of the kernel are called by Python; all others end up inside those. So a part is only translated here, and
its code becomes machine code as a part of its callers. Passes for what the kernel does not have (closures, lists,
objects) are left out, and so is the one that lets a variable change its type: it has one, an int64 or a float64.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any, ClassVar, Final

from numba import _dynfunc, types  # type: ignore[attr-defined]
from numba.core import compiler, compiler_machinery, ir, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary


@compiler_machinery.register_pass(mutates_CFG=False, analysis_only=False)
class _Constants(compiler_machinery.FunctionPass):
    """Make every constant a plain number: numba has a type for each, which multiplies the work."""

    _name = "kernel_constants"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Replace them."""
        for block in state.func_ir.blocks.values():
            for assigned in block.find_insts(ir.Assign):
                value = assigned.value
                if isinstance(value, (ir.Global, ir.Const)) and type(value.value) is int:
                    assigned.value = ir.Const(value.value, value.loc, use_literal_type=False)
        return True


_PASSES: Final = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    _Constants,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
    typed_passes.AnnotateTypes,
)


class _PartLibrary(JITCodeLibrary):
    """The code of a part: linked into its callers, not compiled further."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout  # noqa: SLF001 - as the method that this replaces

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(typed_passes.NativeLowering):
    """Translate a part to LLVM's language."""

    _name = "kernel_part_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower without asking for machine code: there is none to run."""
        name = state.func_id.func_qualname
        state.library = _PartLibrary(state.targetctx.codegen(), name)
        state.flags.no_compile = True
        super().run_pass(state)
        made = state["cr"]
        # No address to call: numba only uses it as the part's name.
        nowhere = _dynfunc.make_function(made.fndesc.lookup_module(), name, "a part of the kernel", 0, made.env, ())
        state.targetctx.insert_user_function(nowhere, made.fndesc, [state.library])
        state["cr"] = made._replace(cfunc=nowhere)
        return True


class _Typing:
    """numba's rules of types, asked once about each operator: it would look through a hundred rules each time."""

    known: ClassVar[dict[Any, Any]] = {}

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def resolve_function_type(self, function: Any, args: Any, kws: Any) -> Any:
        """Return the types that a call takes and gives."""
        if kws or not isinstance(function, types.Function):
            return self._context.resolve_function_type(function, args, kws)
        asked = (function, tuple(args))
        if asked not in self.known:
            self.known[asked] = self._context.resolve_function_type(function, args, kws)
        return self.known[asked]


class _Compiler(compiler.CompilerBase):
    def __init__(self, typing: Any, *rest: Any) -> None:
        super().__init__(typing, *rest)
        self.state.typingctx = _Typing(typing)

    def _pipeline(self, lowering: type) -> list[Any]:
        passes: Any = compiler_machinery.PassManager("kernel")
        for each in (*_PASSES, lowering, typed_passes.NoPythonBackend):
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class PartCompiler(_Compiler):
    """Compile a function that only other compiled functions call."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        return self._pipeline(_PartLowering)


class EntryCompiler(_Compiler):
    """Compile a function that Python calls."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        return self._pipeline(typed_passes.NativeLowering)
