"""tmp"""
class TableModel: pass
