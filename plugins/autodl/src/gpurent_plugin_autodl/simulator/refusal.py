"""A request that the service refuses, as it says so: with the status 200."""

from __future__ import annotations


class AutodlRefusal(Exception):
    """``code`` is the service's name of the error, ``msg`` its text for people."""

    def __init__(self, code: str, msg: str, status: int = 200) -> None:
        super().__init__(msg)
        self.code, self.msg, self.status = code, msg, status


def wrong_parameter() -> AutodlRefusal:
    """Return the refusal of a malformed request, which never says what is wrong."""
    return AutodlRefusal("RequestParameterIsWrong", "请求参数错误")


def no_such_record() -> AutodlRefusal:
    return AutodlRefusal("RecordNotFoundError", "记录不存在")


def no_stock() -> AutodlRefusal:
    return AutodlRefusal("InternalError", "当前算力规格暂无库存, 请修改配置或稍等再试")


def no_balance() -> AutodlRefusal:
    return AutodlRefusal("BadRequest", "账户余额不足")
