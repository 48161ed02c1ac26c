"""The names that other programs run, or take settings from that run something, without being asked. Pure.

What only runs when the user starts it is not here: a Makefile, conftest.py, any other source file. Nor are *.pth
files: that is what checkpoints of models are called, and Python runs them in the folders of its packages alone.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class AutoRunRow:
    """Names that are refused in every folder, and why. ``names`` are separated by spaces and stand for a file or a
    folder with everything in it.
    """

    names: str
    reason: str


_JUPYTER = (
    "jupyter jupyter_console jupyter_lab jupyter_nbconvert jupyter_notebook jupyter_qtconsole jupyter_server"
)
_JUPYTER_FILES = " ".join(
    f"{app}_config.{end}"
    for app in (*_JUPYTER.split(), "ipython", "ipython_kernel")
    for end in ("py", "json")
)
AUTO_RUN_ROWS = (
    AutoRunRow(".git .hg .svn .jj .bzr _darcs .pijul .sl .fslckout _FOSSIL_ .fossil-settings",
               "hooks, and settings that run programs; prompts and editors call git in every folder"),
    AutoRunRow(".gitconfig", "settings that a repository often includes"),
    AutoRunRow(".husky .githooks .git-hooks .pre-commit-config.yaml lefthook.yml lefthook.yaml .lefthook.yml",
               "hooks that a repository keeps among its files"),
    AutoRunRow(".github .gitlab-ci.yml .circleci .gitea .forgejo .travis.yml .drone.yml .woodpecker .woodpecker.yml "
               ".buildkite azure-pipelines.yml bitbucket-pipelines.yml Jenkinsfile",
               "what a service runs as soon as it is pushed"),
    AutoRunRow(".ssh", "who may log in, and programs that each connection runs"),
    AutoRunRow(".envrc .direnv .autoenv .autoenv.zsh .rvmrc", "shells run it on entering the folder"),
    AutoRunRow(".mise.toml mise.toml .mise.local.toml mise.local.toml .mise .rtx.toml .tool-versions "
               "rust-toolchain rust-toolchain.toml",
               "says which program a command of the folder is, one of its own included"),
    AutoRunRow(".exrc _exrc .vimrc _vimrc .gvimrc _gvimrc .lvimrc .nvimrc .nvim.lua .vim .helix .ycm_extra_conf.py "
               ".luarc.json .dir-locals.el .dir-locals-2.el",
               "editors and their language servers, in the folder where they start"),
    AutoRunRow(".vscode .vs .idea .fleet .zed .devcontainer .devcontainer.json .theia .positron",
               "development environments, as soon as the folder is opened"),
    AutoRunRow(".claude CLAUDE.md CLAUDE.local.md AGENTS.md .cursor .cursorrules .mcp.json .codex .gemini GEMINI.md "
               ".windsurf .windsurfrules .cline .clinerules .roo .continue .kiro .junie .opencode opencode.json "
               ".aider.conf.yml",
               "assistants run hooks and servers of the folder, and do what its instructions say"),
    AutoRunRow(".gdbinit .lldbinit .pdbrc", "debuggers, in the folder where they start"),
    AutoRunRow(".Rprofile .Renviron .RData", "R, in the folder where it starts; of saved data it calls .First"),
    AutoRunRow(".octaverc startup.m finish.m pathdef.m .scilab scilab.ini profile.do autoexec.sas",
               "Octave, MATLAB, Scilab, Stata and SAS, in the folder where they start"),
    AutoRunRow(".rootrc rootlogon.C .rootlogon.C rootlogoff.C .gnuplot .irbrc .pryrc .ghci .ocamlinit",
               "ROOT, gnuplot and the prompts of Ruby, Haskell and OCaml, in the folder where they start"),
    AutoRunRow(f"{_JUPYTER_FILES} profile_default", "Jupyter and IPython, in the folder where they start"),
    AutoRunRow("sitecustomize.py usercustomize.py", "every Python that has the folder in its path"),
    AutoRunRow("site-packages dist-packages", "every Python of that environment runs the *.pth files in it"),
    AutoRunRow("__pycache__", "Python runs what is compiled in it in place of the user's own sources beside it"),
    AutoRunRow(".pylintrc pylintrc .flake8 .mypy.ini mypy.ini", "editors call checkers, which load modules it names"),
    AutoRunRow(".cargo .mvn .sbtopts .jvmopts .bundle .terraform ansible.cfg .latexmkrc latexmkrc",
               "build tools run programs that it names, also when an editor calls them"),
    AutoRunRow(".npmrc .yarnrc .yarnrc.yml .pnpmfile.cjs .pnpmfile.mjs bunfig.toml",
               "package managers run programs that it names"),
    AutoRunRow("uv.toml poetry.toml .pixi", "says from where package managers fetch what they run"),
    AutoRunRow("profile.ps1 Microsoft.PowerShell_profile.ps1 Microsoft.VSCode_profile.ps1",
               "PowerShell, in its folder among the user's documents"),
    AutoRunRow("desktop.ini autorun.inf .directory", "file managers, when they list the folder"),
)  # fmt: skip
AUTO_RUN_NAMES = frozenset(name.casefold() for row in AUTO_RUN_ROWS for name in row.names.split())

# In the home folder itself: names with a dot at the start, which hold the settings of shells, sessions and nearly all
# tools (.bashrc, .config, .julia, .jupyter, .condarc, .tmux.conf, .curlrc, .inputrc …), and these: folders in which
# programs are looked for, and what Windows and macOS have instead of the dot.
HOME_AUTO_RUN_NAMES = frozenset(
    {"bin", "go", "appdata", "library", "vimfiles", "_netrc", "_curlrc", "ntuser.dat"}
)
# Files that Windows' Explorer follows to other computers when it only lists their folder.
WINDOWS_AUTO_RUN_ENDINGS = (".lnk", ".scf", ".url", ".library-ms", ".searchconnector-ms")

# Any folder is a repository of git if it has a file of this name (and objects and refs, or the name of another folder
# that has them). Without it, nothing in the folder counts: so a machine never brings this file.
REPOSITORY_MARK = "HEAD"
# What git obeys or runs in a folder that is a repository on this computer already.
REPOSITORY_AUTO_RUN_NAMES = frozenset({"config", "config.worktree", "hooks", "commondir"})
