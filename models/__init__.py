"""The report's five nets (sections 3 and 4) and those it wished for (section 6): templates, one table, a renderer."""
